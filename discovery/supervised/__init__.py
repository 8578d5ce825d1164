"""Directions from labels: boundaries, gradients of scores, style channels.

Read `boundary` first.
"""
