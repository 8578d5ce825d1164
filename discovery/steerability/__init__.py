"""Directions that imitate an edit of the image: shift, zoom, rotation, color.

Read `image_edits` first, then `walks`. Import the methods from `discovery`, which loads each when
it is used; this package imports none, so that listing methods stays fast.
"""
