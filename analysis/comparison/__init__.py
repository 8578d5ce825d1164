"""Comparison of methods at equal effect, with paired intervals.

Read `compare` first; `result` holds what it returns.
"""
