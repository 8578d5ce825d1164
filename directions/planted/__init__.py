"""Analytic generators with known factors: the ground truth of tests and benchmarks.

Read `world` first.
"""
