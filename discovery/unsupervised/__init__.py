"""Directions without labels: PCA, SeFa, random ones.

Read `pca` first.
"""
