"""Names for unlabeled directions, by measured effects or by text.

Read `by_effects` first.
"""
