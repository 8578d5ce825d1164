"""Directions without labels: PCA, SeFa, regression of features of images, random directions.

Read `pca` first. Import the methods from `discovery`, which exports every class of the registry:
adding one is its file and one line there.
"""
