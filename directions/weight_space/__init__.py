"""Directions in a generator's weights: changes of a convolution in the place of codes.

Read `basis` first: K changes of one weight, each of the size of one sigma. `direction` has
`WeightDirection`, a direction among them, and `generator` the generator whose codes have amounts of
them beside the latent code, so that whatever takes directions takes these. Import all from here.
"""

from directions.weight_space.basis import WeightBasis
from directions.weight_space.direction import WeightDirection
from directions.weight_space.generator import WeightedGenerator, widened

__all__ = ["WeightBasis", "WeightDirection", "WeightedGenerator", "widened"]
