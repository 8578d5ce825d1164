"""Directions from training: flows of codes given attributes.

Read `conditional_flow` first. Import the methods from `discovery`, which exports every class of
the registry: adding one is its file and one line there.
"""
