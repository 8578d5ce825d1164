"""Scores and features of codes: from latents through images to numbers, in batches.

Read `scorer` first.
"""
