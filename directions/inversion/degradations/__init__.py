"""What images have gone through before they are inverted: masks, shrinking, gray, blur, noise.

A code is found whose image, degraded in the same way, is the one given, so that the generator's
image repairs it: fills the hole, gives detail or color back (PULSE: Menon et al. 2020,
arXiv:2003.03808; image processing with a GAN's prior: Gu, Shen & Zhou 2020, arXiv:1912.07116).
`selection` has those that see only some pixels or colors, `resampling` those that are a matrix for
each axis, `filtering` one that mixes pixels and channels, `composition` noise, chains, functions
of your own, and the transpose of any of them.
Import the names from here.
"""

from directions.inversion.degradations.composition import Chain, Degraded, Noise, transpose
from directions.inversion.degradations.filtering import Filter
from directions.inversion.degradations.resampling import KERNELS, Blur, Shrink
from directions.inversion.degradations.selection import Crop, Gray, Mask

__all__ = [
    "KERNELS",
    "Blur",
    "Chain",
    "Crop",
    "Degraded",
    "Filter",
    "Gray",
    "Mask",
    "Noise",
    "Shrink",
    "transpose",
]
