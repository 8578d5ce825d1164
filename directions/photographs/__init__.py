"""Photographs: from a picture of any size to an image in a generator's framing, and back.

Read `photograph` first (`open_photograph`, and pasting an edited image back); `alignment` finds
the framing of a generator's own faces and the similarity that brings a face to it. Import the
names from here, `open_photograph` also from `directions`.
"""

from directions.photographs.alignment import Framing, Similarity
from directions.photographs.photograph import Photograph, open_photograph

__all__ = ["Framing", "Photograph", "Similarity", "open_photograph"]
