"""Directions from text, guided by CLIP.

Read `clip_boundary` first, then `TextMethod` of `discovery.base` and `discovery.wording`. Import
the methods from `discovery`, which exports every class of the registry: adding one is its file and
one line there.
"""
