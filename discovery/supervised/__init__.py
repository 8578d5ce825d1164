"""Directions from labels: boundaries, conditional means, gradients of scores, style channels.

Read `boundary` first. Import the methods from `discovery`, which exports every class of the
registry: adding one is its file and one line there.
"""
