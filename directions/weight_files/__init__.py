"""Restricted readers of .pkl and .pt files that execute nothing.

Read `contents` first.
"""
