"""Directions from derivatives of the generator: global, local and regional bases, channels.

Read `global_basis` first, then `models`. Import the methods from `discovery`, which loads each when
it is used; this package imports none, so that listing methods stays fast.
"""
