"""What an inversion refuses, each with one line that says what to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError, described
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.inversion.objective import Degradation
from directions.scoring.features import Features

__all__ = [
    "check_differentiable", "check_features", "check_finite", "check_observed", "check_range",
    "identified",
]  # fmt: skip

# Images outside [-1, 1] by rounding, or by networks without a bounded last layer.
OVERSHOOT = 3.0

# Spaces of generators through which a gradient flowed: asking costs as much as a step.
_differentiable: WeakKeyDictionary[Generator, set[str]] = WeakKeyDictionary()


def check_observed(
    generator: Generator, images: Tensor, degradation: Degradation | None
) -> Float[Tensor, "n ..."]:
    """The images on the generator's device, in the form that the degradation returns.

    Raises:
        LatdirError: No images; another dtype, size, or range; NaN.
    """
    if not images.is_floating_point():
        raise LatdirError(
            f"images are floating point in [-1, 1], not {images.dtype}: "
            "directions.images.from_uint8(images) converts bytes"
        )
    observed = images.detach().to(generator.device, torch.float32)
    shape = tuple(observed.shape)
    if observed.ndim < 2:
        raise LatdirError(f"images are a batch, one row an image, not of shape {list(shape)}")
    if degradation is None and (observed.ndim != 4 or shape[1:] != generator.image_shape):
        size = ", ".join(map(str, generator.image_shape))
        hint = "a degradation= says how they were made smaller"
        if shape == generator.image_shape:
            hint = "add a batch axis with images[None]"
        elif observed.ndim == 4 and shape[1] == 3:
            side = ", ".join(map(str, generator.image_shape[1:]))
            hint = f"directions.images.resize(images, ({side})) makes them so"
        raise LatdirError(f"images for {generator.name} are [n, {size}], not {list(shape)}: {hint}")
    if degradation is None:
        check_range(observed)
        return observed
    check_some(observed)
    observed = degradation.observe(observed)
    with torch.no_grad():
        made = degradation(observed.new_zeros(1, *generator.image_shape))
    if made.shape[1:] != observed.shape[1:]:
        raise LatdirError(
            f"this degradation makes {list(made.shape[1:])} of an image of {generator.name}, and "
            f"the images given are {list(observed.shape[1:])}: give what it makes, or another one"
        )
    return observed


def check_differentiable(generator: Generator, space: str) -> None:
    """Refuse a generator through which no gradient flows.

    Raises:
        LatdirError: There is none; or noise drawn anew for each row of a batch.
    """
    noise = getattr(generator, "noise", None)
    if isinstance(noise, int):
        raise LatdirError(
            f"{generator.name} draws noise of a seed by the row of a batch, so that a code alone "
            "does not make its image: load it with noise 'const' or 'none'"
        )
    if space in _differentiable.get(generator, ()):
        return
    leaf = generator.sample(1, seed=0, space=space).clone().requires_grad_()
    with torch.enable_grad():
        images = generator.synthesize(leaf, space)
        flows = images.requires_grad
        if flows:
            [slope] = torch.autograd.grad(images.sum(), leaf, allow_unused=True)
            flows = slope is not None
    if not flows:
        raise LatdirError(
            f"no gradient flows through {generator.name}: use solver='cma', which needs none"
        )
    _differentiable.setdefault(generator, set()).add(space)


def check_features(features: Features, images: Float[Tensor, "n c h w"]) -> None:
    """Refuse a function that makes no vectors of images.

    Raises:
        LatdirError: It returns something else.
    """
    made: object = features(images)
    if not (isinstance(made, Tensor) and made.ndim == 2 and len(made) == len(images)):
        got = list(made.shape) if isinstance(made, Tensor) else described(made)
        raise LatdirError(
            f"features= returned {got} of {len(images)} images: it takes images [n, 3, h, w] to "
            "vectors [n, f], as lpips_features() does"
        )


def check_some(images: Float[Tensor, "n ..."]) -> Float[Tensor, "m ..."]:
    """Those images that are finite.

    Raises:
        LatdirError: There are none.
    """
    if not len(images):
        raise LatdirError("there are no images: give at least one")
    finite = images[images.flatten(1).isfinite().all(1)]
    if not len(finite):
        raise LatdirError("the images have NaN or infinite pixels: check how they were read")
    return finite


def check_finite(images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
    """The images, of which all are learned from together.

    Raises:
        LatdirError: Some are not finite.
    """
    [rows] = torch.nonzero(~images.flatten(1).isfinite().all(1), as_tuple=True)
    if len(rows):
        raise LatdirError(
            f"{len(rows)} of {len(images)} images have NaN or infinite pixels, such as number "
            f"{int(rows[0])}: leave them out"
        )
    return images


def check_range(images: Float[Tensor, "n ..."]) -> None:
    """Refuse images whose pixels are not in [-1, 1]; those that are not finite are not looked at.

    Raises:
        LatdirError: Pixels far outside, such as bytes, or no finite images.
    """
    largest = float(check_some(images).abs().max())
    if largest > OVERSHOOT:
        raise LatdirError(
            f"images are in [-1, 1], and these have pixels as large as {largest:.4g}: "
            "write images / 127.5 - 1 for 0 … 255"
        )


def identified(
    function: Callable[[Tensor], Tensor], shape: Sequence[int], device: torch.device
) -> str:
    """What tells a function of images from another one in a run's record.

    Args:
        function: Images to numbers.
        shape: Of an image.
        device: Of the images that it takes.

    Returns:
        Its fingerprint, if it has one; or its name, and a hash of what it returns of an image, to
        three digits.
    """
    known = getattr(function, "fingerprint", None)
    if isinstance(known, str):
        return known
    image = torch.linspace(-1, 1, math.prod(shape), device=device).reshape(1, *shape)
    with torch.no_grad():
        made = function(image).flatten().tolist()
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{name} {fingerprint({}, {'values': [f'{value:.3g}' for value in made]})[:12]}"
