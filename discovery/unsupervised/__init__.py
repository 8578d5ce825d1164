"""Directions without labels: PCA, SeFa, random directions.

Read `pca` first. Import the methods from `discovery`, which loads each when it is used; this
package imports none, so that listing methods stays fast.
"""
