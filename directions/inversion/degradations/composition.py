"""Noise, several degradations in a row, functions of the caller's own, and transposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_fields, checked_values
from directions.errors import LatdirError, SpaceError, real_number
from directions.fingerprints import callable_parts, fingerprint
from directions.inversion.objective import Degradation

__all__ = ["Chain", "Degraded", "Noise", "transpose"]


@checked_fields
@dataclass(frozen=True)
class Noise(Degradation):
    """Gaussian noise, different in each pixel and independent of the image.

    The code found is the most probable one: residuals and the distance from the prior are weighed
    by the noise.

    Attributes:
        noise: Standard deviation, images in [-1, 1].
    """

    noise: float = 0.1

    def __post_init__(self) -> None:
        if real_number(self.noise, "noise") <= 0:
            raise LatdirError(f"noise {self.noise} must be above 0: images are in [-1, 1]")

    def __call__(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """The images as they are: noise is not part of what is expected."""
        return images

    @property
    def config(self) -> dict[str, Any]:
        """Its size."""
        return {"kind": "noise", "noise": self.noise}


@checked_fields
@dataclass(frozen=True)
class Chain(Degradation):
    """One degradation after another.

    Attributes:
        parts: In the order in which they happened; noise, if any, last.

    Raises:
        LatdirError: No parts, or noise before another part.

    Example:
        >>> from directions.inversion import Gray, Shrink
        >>> small_and_gray = Chain((Shrink(4), Gray()))
        >>> small_and_gray(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1, 16, 16])
    """

    parts: Sequence[Degradation] = ()

    def __post_init__(self) -> None:
        if not self.parts or not all(isinstance(part, Degradation) for part in self.parts):
            raise LatdirError("a chain takes degradations, such as Chain((Shrink(4), Gray()))")
        if any(part.noise for part in self.parts[:-1]):
            raise LatdirError("noise is the last part of a chain: give the one that was added last")
        object.__setattr__(self, "parts", tuple(self.parts))
        object.__setattr__(self, "noise", self.parts[-1].noise)

    def __call__(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """All parts in turn."""
        for part in self.parts:
            images = part(images)
        return images

    def observe(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """What each part makes of the form that images are given in."""
        for part in self.parts:
            images = part.observe(images)
        return images

    @property
    def config(self) -> dict[str, Any]:
        """Those of the parts."""
        return {"kind": "chain", "parts": [dict(part.config) for part in self.parts]}


@checked_fields
@dataclass(frozen=True)
class Degraded(Degradation):
    """Any differentiable function of images, each by itself.

    Attributes:
        function: `[n, 3, h, w]` to what is observed, `[n, ...]`.
        noise: Standard deviation of noise in what is observed, images in [-1, 1].

    Raises:
        LatdirError: Noise below 0.

    Example:
        >>> dark = Degraded(lambda images: 0.5 * images)
        >>> dark(torch.ones(1, 3, 2, 2)).max()
        tensor(0.5000)
    """

    function: Callable[[Tensor], Tensor] = field(compare=False)
    noise: float = 0.0

    def __post_init__(self) -> None:
        real_number(self.noise, "noise", least=0.0)

    def __call__(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n ..."]:
        """What the function returns."""
        made = self.function(images)
        if not isinstance(made, Tensor) or len(made) != len(images):
            raise LatdirError("a degradation takes images [n, 3, h, w] and returns n of them")
        return made

    @property
    def config(self) -> dict[str, Any]:
        """A digest of the function and of all that it uses."""
        parts = callable_parts(self.function)
        digest = fingerprint(parts.tensors, parts.config)
        return {"kind": "function", "sha256": digest, "noise": self.noise}


@checked_values
def transpose(
    degradation: Degradation, observed: Float[Tensor, "n ..."], shape: tuple[int, ...]
) -> Float[Tensor, "n 3 h w"]:
    """Aᵀ of what was observed, for a linear degradation A.

    Args:
        degradation: A, one of this folder other than a nonlinear `Degraded`.
        observed: `[n, …]`, in the form that `degradation(images)` has.
        shape: `(3, height, width)` of the images.

    Raises:
        LatdirError: Values that are not finite, or another form than the degradation of such
            images has.

    Example:
        >>> from directions.inversion import Shrink
        >>> transpose(Shrink(2), torch.ones(1, 3, 1, 1), (3, 2, 2))[0, 0]
        tensor([[0.2500, 0.2500],
                [0.2500, 0.2500]])
    """
    if len(shape) != 3 or min(shape) < 1:
        raise SpaceError(f"shape is (3, height, width) of the images, not {shape}")
    images = observed.new_zeros(len(observed), *shape, requires_grad=True)
    with torch.enable_grad():
        made = degradation(images)
    if made.shape != observed.shape:
        raise SpaceError(
            f"observed has shape {list(observed.shape)}, and this degradation of images "
            f"{list(shape)} has {list(made.shape)}"
        )
    [pulled] = torch.autograd.grad(made, images, observed)
    return pulled
