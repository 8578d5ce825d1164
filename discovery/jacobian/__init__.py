"""Directions from derivatives of the generator: global, local and regional bases, channels.

Read `global_basis` first, then `models`. Import the methods from `discovery`, which exports every
class of the registry: adding one is its file and one line there.
"""
