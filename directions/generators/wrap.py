"""Adapter of any module or function of codes to the generator contract."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from directions.errors import LatdirError, UnknownNameError
from directions.fingerprints import CachedFingerprint, callable_parts
from directions.generators.base import Generator
from directions.generators.checks import check_images
from directions.space import Prior, Space

__all__ = ["WrappedGenerator", "wrap"]

Draw = Callable[[np.random.Generator, int], Any]

# Subtracted, then divided by.
TO_UNIT: dict[str, tuple[float, float]] = {
    "-1..1": (0.0, 1.0),
    "0..1": (0.5, 0.5),
    "0..255": (127.5, 127.5),
}
# Generators without a final tanh overshoot a little; beyond this the range is another one.
OVERSHOOT = 3.0

log = logging.getLogger(__name__)


class WrappedGenerator(Generator):
    """A user-supplied module or function as a Generator; create one with `wrap`."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        space: Space,
        input_shape: tuple[int, ...],
        name: str,
        pixels: str,
        draw: Draw | None,
        identity: dict[str, Any],
    ) -> None:
        self.name = name
        self.spaces = {space.name: space}
        self._function = function
        self._module = _module_of(function)
        self._input_shape = input_shape
        self._shift, self._scale = TO_UNIT[pixels]
        self._user_draw = draw
        self._identity = {**identity, "pixels": pixels, "shape": list(space.shape)}
        self._fingerprint = CachedFingerprint()

    @property
    def fingerprint(self) -> str:
        """sha256 over the weights, or over all that a function depends on."""
        identity = dict(self._identity)
        tensors: dict[str, Tensor] = {}
        for key, function in (("function", self._function), ("draw", self._user_draw)):
            if (
                function is not None
                and identity["version"] is None
                and _module_of(function) is None
            ):
                parts = callable_parts(function)
                identity[key] = parts.config
                tensors |= {f"{key}: {path}": value for path, value in parts.tensors.items()}
        if self._module is not None:
            state = self._module.state_dict().items()
            tensors |= {name: value for name, value in state if isinstance(value, Tensor)}
        return self._fingerprint(tensors, identity)

    @property
    def device(self) -> torch.device:
        """Current device of the module's weights."""
        return torch.device("cpu") if self._sample_weight is None else self._sample_weight.device

    @property
    def _sample_weight(self) -> Tensor | None:
        if self._module is None:
            return None
        floating = (t for t in _tensors(self._module) if t.is_floating_point())
        return next(floating, None)

    def prior(self, space: str | None = None) -> Prior:
        """Standard normal, or estimated from `draw`."""
        if self._user_draw is not None:
            return super().prior(space)
        first = self.default_space()
        return Prior.standard(self.space(space or first).size)

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        if self._user_draw is None:
            return super()._draw(rng, count)
        codes = np.asarray(self._user_draw(rng, count), dtype=np.float32)
        shape = (count, *next(iter(self.spaces.values())).shape)
        if codes.shape != shape:
            raise LatdirError(f"draw returned shape {list(codes.shape)}, not {list(shape)}")
        return codes

    def synthesize(self, codes: Float[Tensor, "n ..."], space: str = "z") -> Tensor:
        """Images of codes, as float32 in [-1, 1]; gradients flow if the function lets them."""
        self.check(codes, space)
        weight = self._sample_weight
        shaped = codes.reshape(len(codes), *self._input_shape)
        with _evaluating(self._module):
            made = self._function(shaped if weight is None else shaped.to(weight.dtype))
        if isinstance(made, Tensor) and made.ndim == 4 and made.shape[1] == 1:
            made = made.expand(-1, 3, -1, -1)
        if not isinstance(made, Tensor) or not (made.is_floating_point() or self._scale > 1):
            return check_images(made, name=self.name, count=len(codes))
        images = made if made.dtype == torch.float64 else made.float()
        return images if self._scale == 1 else (images - self._shift) / self._scale


def wrap(
    module: nn.Module | Callable[..., Any],
    *,
    latent_dim: int | None = None,
    shape: tuple[int, ...] | None = None,
    input_shape: tuple[int, ...] | None = None,
    image_shape: tuple[int, int, int] | None = None,
    name: str | None = None,
    pixels: str = "-1..1",
    space: str = "z",
    draw: Draw | None = None,
    version: str | None = None,
) -> WrappedGenerator:
    """Use any module or function that turns a batch of codes into images as a Generator.

    The module stays yours: it is not copied, moved or changed, and it is in evaluation mode only
    while it is called. Train it on, and its fingerprint changes with its weights.

    Args:
        module: Takes codes `[n, *input_shape]`, gives images `[n, 3, H, W]` or `[n, 1, H, W]`. A
            bound method of a module counts as the module.
        latent_dim: Size of a code that is a vector.
        shape: Shape of a code, in place of `latent_dim`.
        input_shape: Shape of one code for the module, such as `(100, 1, 1)`; by
            default the code's own shape.
        image_shape: (3, H, W); by default learned from one call on two codes.
        name: By default the module's class; a function needs one.
        pixels: Range of the images the module makes: `-1..1`, `0..1` or `0..255`.
        space: Name of the codes' space.
        draw: `draw(rng, count)` gives `[count, *shape]` codes; by default standard normal.
        version: Text that identifies a function, in place of all that it depends on: its code,
            defaults, closure, and the modules, arrays and functions it reaches. Needed where it
            reaches something that cannot be hashed, such as an open file.

    Raises:
        LatdirError: No size of code, no name, a function that cannot be hashed, or what comes out
            is not images.

    Example:
        >>> net = nn.Sequential(nn.Linear(8, 3 * 4 * 4), nn.Tanh(), nn.Unflatten(1, (3, 4, 4)))
        >>> wrap(net, latent_dim=8, name="tiny")
        WrappedGenerator(tiny: z[8] -> 4×4)
        >>> wrap(nn.Linear(8, 2), latent_dim=8, name="flat")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: flat does not make images: 2 codes gave a tensor of shape
        [2, 2], where [2, 3, H, W] is wanted
    """
    if (latent_dim is None) == (shape is None):
        raise LatdirError("give the size of one code: latent_dim=… for a vector, or shape=(…)")
    code_shape = (latent_dim,) if latent_dim is not None else shape or ()
    if not code_shape or min(code_shape) < 1:
        raise LatdirError(f"one code has shape {list(code_shape)}: give positive sizes")
    if pixels not in TO_UNIT:
        raise UnknownNameError(f"no pixel range {pixels!r}: there are {', '.join(TO_UNIT)}")
    target = input_shape or code_shape
    if int(np.prod(target)) != int(np.prod(code_shape)):
        raise LatdirError(
            f"a code of shape {list(code_shape)} cannot be reshaped to {list(target)}: "
            "input_shape needs as many numbers"
        )
    named, identity = _identify(module, name=name, version=version)
    generator = WrappedGenerator(
        module,
        space=Space(space, code_shape),
        input_shape=target,
        name=named,
        pixels=pixels,
        draw=draw,
        identity=identity,
    )
    generator.image_shape = _probed(generator) if image_shape is None else image_shape
    return generator


def _identify(
    function: Callable[..., Any], *, name: str | None, version: str | None
) -> tuple[str, dict[str, Any]]:
    """A name, and a fingerprint of the function besides weights."""
    owner = _module_of(function)
    if owner is not None:
        kind = type(owner)
        part = getattr(function, "__name__", "") if function is not owner else ""
        identity = {"wrapped": f"{kind.__module__}.{kind.__qualname__}.{part}"}
        return name or kind.__name__, {**identity, "version": version}
    if not name:
        raise LatdirError("a function has no weights to identify it by: give it a name=…")
    if version is None:
        callable_parts(function)  # refuses what cannot be hashed
    return name, {"wrapped": name, "version": version}


def _probed(generator: WrappedGenerator) -> tuple[int, int, int]:
    """The shape of one image, from a batch of two codes."""
    space = generator.default_space()
    codes = generator.sample(2, seed=0, space=space)
    try:
        with torch.no_grad():
            images = generator.synthesize(codes, space)
    except (RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, LatdirError):
            raise
        d = codes[0].numel()
        raise LatdirError(
            f"{generator.name} failed on codes of shape {[2, *generator._input_shape]} "
            f"({error}); if it takes another shape, say so, such as input_shape=({d}, 1, 1)"
        ) from error
    images = check_images(images, name=generator.name, count=2)
    largest = float(images.abs().max())
    if largest > OVERSHOOT:
        raise LatdirError(
            f"{generator.name} makes pixels as large as {largest:.4g} where at most 1 is "
            "wanted: give the range it makes with pixels='0..1' or pixels='0..255'"
        )
    if generator._scale == 1 and float(images.min()) >= 0:
        log.warning("%s makes no negative pixels: is its range pixels='0..1'?", generator.name)
    channels, height, width = images.shape[1:]
    return channels, height, width


def _module_of(function: Callable[..., Any]) -> nn.Module | None:
    owner = function if isinstance(function, nn.Module) else getattr(function, "__self__", None)
    return owner if isinstance(owner, nn.Module) else None


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


@contextmanager
def _evaluating(module: nn.Module | None) -> Iterator[None]:
    """Evaluation mode for a while: each part gets back the mode it had."""
    training = [] if module is None else [m for m in module.modules() if m.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True
