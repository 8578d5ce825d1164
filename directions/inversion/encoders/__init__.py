"""Encoders: codes of images in one pass, by a network trained for one generator.

Read `base` first: an `Encoder` holds its generator, and its codes are a start of `invert`.
`networks` has the architectures, `published` reads the files that their authors share. Import
`load_encoder` from `directions`.
"""

from directions.inversion.encoders.base import Encoded, Encoder
from directions.inversion.encoders.networks import EncoderConfig, StyleEncoder
from directions.inversion.encoders.published import load_encoder

__all__ = ["Encoded", "Encoder", "EncoderConfig", "StyleEncoder", "load_encoder"]
