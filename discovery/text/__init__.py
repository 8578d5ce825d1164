"""Directions from words, guided by CLIP.

Read `clip_boundary` first.
"""
