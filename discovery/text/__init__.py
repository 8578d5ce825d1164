"""Directions from text, guided by CLIP.

Read `clip_boundary` first, then `request`. Import the methods from `discovery`, which loads each
when it is used; this package imports none, so that listing methods stays fast.
"""
