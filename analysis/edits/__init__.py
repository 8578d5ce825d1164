"""What edits along a direction do to images: effects, response curves, leakage, identity, realism.

Read `curves` first: one pass of images that most measures here are computed from; then `effects`.
"""
