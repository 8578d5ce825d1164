"""CLIP as a classifier and as a judge of texts.

Read `protocol` first: what a text-image model must offer; `model` loads one.
"""
