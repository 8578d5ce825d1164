"""Geometry of latent spaces: path lengths, separability, pullback metrics, geodesics, subspaces."""
