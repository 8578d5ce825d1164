"""Numerical tools shared by discovery and analysis: eigenvectors, linearized generators, tangents."""
