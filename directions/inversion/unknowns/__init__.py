"""More that is unknown than a code: generators whose codes have several parts.

Noise maps, features or paddings beside a code, several codes of one image, frames with a chain of
offsets: each is a generator of one space, `joint`, so that every solver, start and degradation
applies. Read `base` first. Import the names from here.
"""

from directions.inversion.unknowns.base import IndependentPrior, Joint
from directions.inversion.unknowns.feature_offsets import FeatureOffsets
from directions.inversion.unknowns.frames import Frames, flow_features
from directions.inversion.unknowns.noise_maps import NoiseMaps, noise_autocorrelation
from directions.inversion.unknowns.paddings import Paddings
from directions.inversion.unknowns.several_codes import SeveralCodes

__all__ = [
    "FeatureOffsets",
    "Frames",
    "IndependentPrior",
    "Joint",
    "NoiseMaps",
    "Paddings",
    "SeveralCodes",
    "flow_features",
    "noise_autocorrelation",
]
