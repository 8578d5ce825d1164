"""Directions from text, guided by CLIP.

Read `clip_boundary` first, then `request`. Import the methods from `discovery`, which exports
every class of the registry: adding one is its file and one line there.
"""
