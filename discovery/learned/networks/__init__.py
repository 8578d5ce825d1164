"""Networks that are trained without labels: deformators move codes, reconstructors tell moves.

Import from the modules: `deformators`, `reconstructors`.
"""
