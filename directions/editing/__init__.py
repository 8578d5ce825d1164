"""Edits of codes: moves along directions, sweeps, grids and several attributes at once.

Read `moves` first.
"""
