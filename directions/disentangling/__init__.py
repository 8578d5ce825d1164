"""Disentangled directions: conditioning by projection, mixing by measured effects.

Read `projection` first.
"""
