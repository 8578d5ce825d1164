"""Directions that imitate an edit of the image: shift, zoom, rotation, color.

Read `image_edits` first, then `walks`. Import the methods from `discovery`, which exports every
class of the registry: adding one is its file and one line there.
"""
