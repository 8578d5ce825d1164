"""Gradient-boosted trees behind DCI.

Read `boosting` first.
"""
