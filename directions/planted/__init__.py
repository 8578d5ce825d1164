"""Analytic generators with known factors: the ground truth of tests and benchmarks.

Read `world` first. Import from here: `planted` makes a generator, whose `classifier()` recovers
its factors; `PlantedClip` reads texts that name them;
`entangled_world` makes codes of known entanglement; `PlantedFaces` puts known factors on the
images of a face generator.
"""

from directions.planted.clip import PlantedClip
from directions.planted.entangled import entangled_world
from directions.planted.faces import FaceLabeler, PlantedFaces
from directions.planted.world import PlantedClassifier, PlantedGenerator, planted

__all__ = [
    "FaceLabeler",
    "PlantedClassifier",
    "PlantedClip",
    "PlantedFaces",
    "PlantedGenerator",
    "entangled_world",
    "planted",
]
