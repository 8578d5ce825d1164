"""Analytic generators with known factors: the ground truth of tests and benchmarks.

Read `world` first. Import from here: `planted` makes a generator, whose `classifier()` recovers
its factors; `PlantedClip` reads texts that name them.
"""

from directions.planted.clip import PlantedClip
from directions.planted.world import PlantedClassifier, PlantedGenerator, planted

__all__ = [
    "PlantedClassifier",
    "PlantedClip",
    "PlantedGenerator",
    "planted",
]
