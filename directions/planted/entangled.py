"""Codes of known entanglement, as ground truth for metrics of disentanglement.

Attributes are independent and uniform. At level 0 each code is one attribute and some noise; at
level 1 all codes are the same sum of all attributes:

    codes = (1 − level) · attributes + level · mean of the attributes + noise,

attributes scaled to variance 1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from directions.errors import LatdirError

__all__ = ["entangled_world"]

CLASSES = 4


def entangled_world(
    count: int, *, level: float, factors: int = 4, noise: float = 0.2, seed: int = 0
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Codes and the attributes they mix.

    Args:
        count: Rows.
        level: 0 (each code one attribute) … 1 (each code all attributes equally).
        factors: Number k of attributes and of codes.
        noise: Standard deviation of the noise.
        seed: Of attributes and noise.

    Returns:
        Codes `[n, k]`, float64, and attributes `[n, k]` of four classes each.

    Raises:
        LatdirError: A level outside 0 … 1.

    Example:
        >>> codes, attributes = entangled_world(100, level=1.0, noise=0.0)
        >>> torch.equal(codes[:, 0], codes[:, 3])
        True
    """
    if not 0 <= level <= 1:
        raise LatdirError(f"level is {level}: it must be in 0 … 1")
    rng = torch.Generator().manual_seed(seed)
    attributes = torch.randint(CLASSES, (count, factors), generator=rng)
    spread = ((CLASSES**2 - 1) / 12) ** 0.5
    scaled = (attributes - (CLASSES - 1) / 2).double() / spread
    mixed = (1 - level) * scaled + level * scaled.mean(1, keepdim=True)
    return mixed + noise * torch.randn(count, factors, generator=rng).double(), attributes
