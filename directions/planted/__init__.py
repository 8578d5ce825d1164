"""Analytic generators with known factors: the ground truth of tests and benchmarks.

Read `world` first. Import from here: `planted` makes a generator, whose `classifier()` recovers
its factors; `PlantedClip` reads texts that name them;
`entangled_world` makes codes of known entanglement.
"""

from directions.planted.clip import PlantedClip
from directions.planted.entangled import entangled_world
from directions.planted.world import PlantedClassifier, PlantedGenerator, planted

__all__ = [
    "PlantedClassifier",
    "PlantedClip",
    "PlantedGenerator",
    "entangled_world",
    "planted",
]
