"""Curved directions: paths whose step depends on the code.

Read `base` first.
"""
