"""Numerical tools of discovery and analysis: eigenvectors, linearized generators, tangents."""
