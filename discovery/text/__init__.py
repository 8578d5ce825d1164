"""Directions from text, guided by CLIP.

Read `clip_boundary` first.
"""
