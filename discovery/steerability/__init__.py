"""Directions that imitate an edit of the image: shift, zoom, rotation, color."""
