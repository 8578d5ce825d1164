"""Adapter of any module or function of codes to the generator contract."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from directions.errors import LatdirError, UnknownNameError, described
from directions.fingerprints import CachedFingerprint, callable_parts, evaluating, module_of
from directions.generators.base import Generator
from directions.generators.checks import check_images
from directions.space import Prior, Space

__all__ = ["WrappedGenerator", "wrap"]

Draw = Callable[[np.random.Generator, int], Any]
Label = int | Sequence[float] | Tensor | None
Output = Literal["nchw", "nhwc"] | Callable[[Any], Any]

# Subtracted, then divided by.
TO_UNIT: dict[str, tuple[float, float]] = {
    "-1..1": (0.0, 1.0),
    "0..1": (0.5, 0.5),
    "0..255": (127.5, 127.5),
}
# Generators without a final tanh overshoot a little; beyond this the range is another one.
OVERSHOOT = 3.0
# Largest difference of two images of one code: kernels may add in another order.
SAME = 1e-3

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
        output: Output,
        inputs: tuple[Label, Mapping[str, Any]],
        draw: Draw | None,
        version: str | None,
    ) -> None:
        self.name = name
        self.spaces = {space.name: space}
        self._function = function
        self._module = module_of(function)
        # Where codes are drawn for a function, which has no weights to follow.
        self._home = torch.device("cpu")
        self._input_shape = input_shape
        self._shift, self._scale = TO_UNIT[pixels]
        self._output = output
        self._label, self._kwargs = inputs
        self._user_draw = draw
        self._version = version
        self._identity = {"pixels": pixels, "shape": list(space.shape)}
        # Everything that is not plain text is hashed as the function is.
        self._hashed: dict[str, object] = {
            "draw": draw,
            "output": None if output == "nchw" else output,
            "label": self._label,
            "kwargs": dict(self._kwargs) or None,
        }
        if self._module is None:
            self._hashed["function"] = function
        # Modules that the function calls are in evaluation mode while it runs.
        # A set: those of a function stay where they are when the generator moves.
        self._called = set(self._parts()[2]) if self._module is None else [self._module]
        self._fingerprint = CachedFingerprint()

    def _parts(self) -> tuple[dict[str, Tensor], dict[str, Any], list[nn.Module]]:
        """Tensors, settings and modules that images depend on, besides the module's weights."""
        tensors: dict[str, Tensor] = {}
        config: dict[str, Any] = {}
        modules: list[nn.Module] = []
        for key, value in self._hashed.items():
            given = key in ("label", "kwargs")
            if value is not None and (given or self._version is None):
                parts = callable_parts(value)
                config[key] = parts.config
                tensors |= {f"{key}: {path}": tensor for path, tensor in parts.tensors.items()}
                modules += parts.modules
        return tensors, config, modules

    @property
    def fingerprint(self) -> str:
        """sha256 over the weights, or over all that a function depends on."""
        tensors, config, _ = self._parts()
        identity = {**self._identity, "wrapped": self.name, "version": self._version, **config}
        if self._module is not None:
            kind = type(self._module)
            part = getattr(self._function, "__name__", "")
            identity["wrapped"] = f"{kind.__module__}.{kind.__qualname__}.{part}"
            state = self._module.state_dict().items()
            tensors |= {name: value for name, value in state if isinstance(value, Tensor)}
        return self._fingerprint(tensors, identity)

    @property
    def device(self) -> torch.device:
        """Current device of the module's weights; for a function the CPU, or where `to` put it."""
        return self._home if self._sample_weight is None else self._sample_weight.device

    @property
    def follows_codes(self) -> bool:
        """Whether it is a function, which has no weights to be beside."""
        return self._sample_weight is None

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
        with evaluating(self._called):
            made = self._function(
                shaped if weight is None else shaped.to(weight.dtype),
                *self._labels(shaped),
                **{name: _beside(value, shaped) for name, value in self._kwargs.items()},
            )
        made = self._read(made, shaped.device)
        if isinstance(made, Tensor) and made.ndim == 4 and made.shape[1] == 1:
            made = made.expand(-1, 3, -1, -1)
        if not (
            isinstance(made, Tensor)
            and made.ndim == 4
            and made.shape[:2] == (len(codes), 3)
            and (made.is_floating_point() or self._scale > 1)
        ):
            try:
                return check_images(made, name=self.name, count=len(codes))
            except LatdirError as error:
                raise LatdirError(f"{error}; {self._output_remedy(made)}") from None
        images = made if made.dtype == torch.float64 else made.float()
        return images if self._scale == 1 else (images - self._shift) / self._scale

    def _labels(self, codes: Tensor) -> list[Tensor]:
        """The second argument of a conditional function, one row a code."""
        if self._label is None:
            return []
        label = torch.as_tensor(self._label, device=codes.device)
        return [label.expand(len(codes), *label.shape)]

    def _read(self, made: Any, device: torch.device) -> Any:
        """The images in what the function returned, `[n, c, H, W]` where they are there."""
        if callable(self._output):
            made = self._output(made)
        elif isinstance(made, tuple | list) and made and getattr(made[0], "ndim", 0) == 4:
            made = made[0]
        if isinstance(made, np.ndarray) and made.dtype.kind in "fiub":
            made = torch.from_numpy(np.ascontiguousarray(made)).to(device)
        nhwc = self._output == "nhwc" and isinstance(made, Tensor) and made.ndim == 4
        return made.permute(0, 3, 1, 2) if nhwc else made

    def _output_remedy(self, made: object) -> str:
        """How to wrap a function that returns this."""
        images = "the images"
        if isinstance(made, Mapping):
            images = f"made[{next(iter(made), 'images')!r}]"
        elif isinstance(made, Tensor) and made.ndim == 4:
            last = made.shape[3] in (1, 3) or (made.shape[3] == 4 != made.shape[1])
            if self._output == "nchw" and last and made.shape[1] not in (1, 3):
                return "write wrap(…, output='nhwc')"
            if made.shape[1] == 3:
                return "write wrap(…, pixels='0..255')"
            if made.shape[1] == 4:
                nhwc = self._output == "nhwc"
                images = "made[..., :3].permute(0, 3, 1, 2)" if nhwc else "made[:, :3]"
        elif isinstance(made, Tensor) and made.ndim == 2 and made.shape[1] % 3 == 0:
            height = max(1, math.isqrt(made.shape[1] // 3))
            images = f"made.reshape(-1, 3, {height}, {made.shape[1] // 3 // height})"
        return f"write wrap(…, output=lambda made: {images})"


def wrap(
    module: nn.Module | Callable[..., Any],
    *,
    latent_dim: int | tuple[int, ...] | Space,
    input_shape: tuple[int, ...] | None = None,
    label: Label = None,
    kwargs: Mapping[str, Any] | None = None,
    output: Output = "nchw",
    pixels: str = "-1..1",
    draw: Draw | None = None,
    name: str | None = None,
    version: str | None = None,
) -> WrappedGenerator:
    """Use any module or function that turns a batch of codes into images as a Generator.

    The module stays yours: it is not copied, moved or changed, and it is in evaluation mode only
    while it is called, as are modules that a function calls. Train it on, and its fingerprint
    changes with its weights. `to` gives the generator a moved copy of the
    module; of a function it moves the codes only.

    Args:
        module: Takes codes `[n, *input_shape]`, gives images `[n, 3, H, W]` or `[n, 1, H, W]`, as
            a tensor or NumPy array, or a tuple that starts with them. A bound method of a module
            counts as the module.
        latent_dim: Size of a code that is a vector, or shape of a code, of a space named `z`; or
            a `Space` with a name of its own.
        input_shape: Shape of one code for the module, such as `(100, 1, 1)`; by
            default the code's own shape.
        label: For conditional modules, the class of all images, given as the second argument: a
            number for one integer per code, a vector (such as one-hot) for one row per code.
        kwargs: Further arguments of every call, such as `{"noise_mode": "const"}`.
        output: `nchw`, `nhwc` (channels last), or a function that takes what the module returns
            and gives images `[n, 3, H, W]`, such as `lambda made: made["image"]`.
        pixels: Range of the images the module makes: `-1..1`, `0..1` or `0..255`.
        draw: `draw(rng, count)` gives `[count, *shape]` codes; by default standard normal.
        name: By default the module's class; a function needs one.
        version: Text that identifies a function, in place of all that it depends on: its code,
            defaults, closure, and the modules, arrays and functions it reaches. Needed where it
            reaches something that cannot be hashed, such as an open file.

    Raises:
        LatdirError: No size of code, no name, a function that cannot be hashed, what comes out
            is not images, or the same codes give other images at a second call.

    Example:
        >>> net = nn.Sequential(nn.Linear(8, 3 * 4 * 4), nn.Tanh(), nn.Unflatten(1, (3, 4, 4)))
        >>> wrap(net, latent_dim=8, name="tiny")
        WrappedGenerator(tiny: z[8] -> 4×4)
        >>> def of_class(z, label):
        ...     return {"image": torch.tanh(z[:, :3, None, None] + label[:, None, None, None])}
        >>> wrap(of_class, latent_dim=8, name="five", label=5, output=lambda made: made["image"])
        WrappedGenerator(five: z[8] -> 1×1)
        >>> wrap(nn.Linear(8, 3), latent_dim=8, name="flat")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: flat does not make images: 2 codes gave a tensor of shape
        [2, 3], where [2, 3, H, W] is wanted; write wrap(…, output=lambda made: made.reshape(-1,
        3, 1, 1))
    """
    _check_callable(module)
    space = latent_dim if isinstance(latent_dim, Space) else _space(latent_dim)
    if not isinstance(pixels, str) or pixels not in TO_UNIT:
        raise UnknownNameError(f"no pixel range {pixels!r}: there are {', '.join(TO_UNIT)}")
    if not callable(output) and not (isinstance(output, str) and output in ("nchw", "nhwc")):
        raise UnknownNameError(f"no output {output!r}: there are nchw, nhwc, or a function")
    if not isinstance(kwargs, Mapping | None):
        raise LatdirError(f"kwargs is a dict of arguments, not a {type(kwargs).__name__}")
    target = _shape(input_shape, "input_shape") if input_shape is not None else space.shape
    if math.prod(target) != space.size:
        raise LatdirError(
            f"a code of shape {list(space.shape)} cannot be reshaped to {list(target)}: "
            "input_shape needs as many numbers"
        )
    if name is not None and not isinstance(name, str):
        raise LatdirError(f"name is text, not {described(name)}: such as name='mine'")
    owner = module_of(module)
    if owner is None and not name:
        raise LatdirError("a function has no weights to identify it by: give it a name=…")
    generator = WrappedGenerator(
        module,
        space=space,
        input_shape=target,
        name=name or type(owner).__name__,
        pixels=pixels,
        output=output,
        inputs=(label, kwargs or {}),
        draw=draw,
        version=version,
    )
    generator.image_shape = _probed(generator)
    return generator


def _check_callable(module: object) -> None:
    """Refuse what cannot be called with codes."""
    if isinstance(module, type):
        raise LatdirError(
            f"{module.__name__} is a class: make one of it and wrap that, "
            f"wrap({module.__name__}(…), latent_dim=…)"
        )
    if isinstance(module, Generator):
        raise LatdirError(f"{module.name} is a generator already: use it as it is")
    if not callable(module):
        raise LatdirError(
            f"wrap takes a module or a function of codes, not a {type(module).__name__}: load "
            "generators by name or path with directions.load_generator; of an object of your own, "
            "wrap the method that makes images"
        )


def _space(latent_dim: object) -> Space:
    """The space z of codes of this size or shape."""
    whole = isinstance(latent_dim, int | np.integer) and not isinstance(latent_dim, bool)
    return Space("z", _shape((latent_dim,) if whole else latent_dim, "latent_dim"))


def _shape(value: object, what: str) -> tuple[int, ...]:
    sizes = tuple(value) if isinstance(value, tuple | list) else ()
    if not sizes or not all(isinstance(s, int | np.integer) and s > 0 for s in sizes):
        raise LatdirError(
            f"{what} {value!r} is not the size of a code: give a number such as 512, or a shape "
            "such as (512, 1, 1)"
        )
    return tuple(map(int, sizes))


def _probed(generator: WrappedGenerator) -> tuple[int, int, int]:
    """The shape of one image, from a batch of two codes made twice."""
    space = generator.default_space()
    codes = generator.sample(2, seed=0, space=space)
    try:
        with torch.no_grad():
            images, again = (generator.synthesize(codes, space) for _ in range(2))
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
        if isinstance(error, LatdirError):
            raise
        raise LatdirError(
            f"{generator.name} failed on codes of shape {[2, *generator._input_shape]} "
            f"({error}); {_advice(error, codes[0].numel())}"
        ) from error
    images = check_images(images, name=generator.name, count=2)
    largest = float(images.abs().max())
    if largest > OVERSHOOT:
        raise LatdirError(
            f"{generator.name} makes pixels as large as {largest:.4g} where at most 1 is "
            "wanted: give the range it makes with pixels='0..1' or pixels='0..255'"
        )
    if not torch.allclose(images, again, atol=SAME):
        raise LatdirError(
            f"{generator.name} makes other images of the same codes at each call (they differ by "
            f"{float((images - again).abs().max()):.2g}), so that scores and effects would be "
            "those of its noise: switch the noise off, such as with kwargs={'noise_mode': "
            "'const'}, or draw it from a seed of its own in each call"
        )
    if generator._scale == 1 and float(images.min()) >= 0:
        log.warning("%s makes no negative pixels: is its range pixels='0..1'?", generator.name)
    channels, height, width = images.shape[1:]
    return channels, height, width


def _advice(error: Exception, d: int) -> str:
    """What may help where the function failed on the first codes."""
    if isinstance(error, TypeError) and "argument" in str(error):
        return (
            "give the class of a conditional generator with label=…, and other arguments with "
            "kwargs={…}"
        )
    return f"if it takes another shape, say so, such as input_shape=({d}, 1, 1)"


def _beside(value: Any, codes: Tensor) -> Any:
    """A tensor on the codes' device; other values unchanged."""
    return value.to(codes.device) if isinstance(value, Tensor) else value


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
