"""DCGAN generators, among them the built-in `digiface64`.

Alec Radford, Luke Metz, Soumith Chintala: Unsupervised Representation Learning with Deep
Convolutional Generative Adversarial Networks, ICLR 2016, arXiv:1511.06434. The layout is the one
that the paper's implementations share: a 4×4 transposed convolution of the code, then transposed
convolutions of stride 2, batch norm and ReLU between them, tanh at the end.

The fast form computes a stride-2 transposed 4×4 convolution as one 2×2 convolution with four
times the channels: a 2×2 window of inputs determines a 2×2 window of outputs, shifted by one
pixel. Nothing is multiplied by an inserted zero and nothing is added twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions import zoo
from directions.devices import Device, resolve_device
from directions.errors import CheckpointError, SpaceError
from directions.fingerprints import Precision, fingerprint
from directions.generators.base import Generator
from directions.generators.layers import Activations, check_key
from directions.numerics.linearized import (
    Linearized,
    Window,
    deconvolutions,
    linearize_layers,
)
from directions.numerics.linearized_batch import LinearizedBatch, linearize_layers_batch
from directions.space import Space

__all__ = ["DCGAN", "digiface64"]

NORM_EPS = 1e-5


@dataclass(frozen=True, eq=False)
class _Layer:
    """One transposed convolution with what follows it, batch norm as scale and bias."""

    weight: Float[Tensor, "c o k k"]
    scale: Float[Tensor, "o"]
    bias: Float[Tensor, "o"]

    def to(self, device: torch.device) -> _Layer:
        return _Layer(self.weight.to(device), self.scale.to(device), self.bias.to(device))

    @property
    def folded(self) -> Float[Tensor, "c o k k"]:
        return self.weight * self.scale[None, :, None, None]

    @property
    def state(self) -> tuple[int, ...] | None:
        """Counts of changes in place; None while it is being trained."""
        parts = (self.weight, self.scale, self.bias)
        if any(part.requires_grad for part in parts):
            return None
        return tuple(0 if part.is_inference() else part._version for part in parts)

    @cached_property
    def _prepared(self) -> dict[torch.dtype, tuple[tuple[int, ...], tuple[Tensor, Tensor]]]:
        return {}

    def windows(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The equal 2×2 convolution; kept until the weights change."""
        now = self.state
        if now is None:
            return _window_convolution(self, dtype)
        if dtype not in self._prepared or self._prepared[dtype][0] != now:
            self._prepared[dtype] = now, _window_convolution(self, dtype)
        return self._prepared[dtype][1]


class DCGAN(Generator):
    """A DCGAN generator from its state dict; sizes are read off the weights.

    Args:
        state: Weights as PyTorch's DCGAN example and its many descendants name them, such as
            `main.0.weight`: transposed convolutions and batch norms in the order of their
            numbers. A batch norm belongs to the convolution before it.
        name: Short name, shown and stored.
        device: Where it runs.

    Raises:
        LatdirError: The weights are not those of a DCGAN generator.

    Example:
        >>> generator = digiface64()
        >>> generator
        DCGAN(digiface64: z[100] -> 64×64)
        >>> images = generator.synthesize(generator.sample(2, seed=0))
        >>> images.shape
        torch.Size([2, 3, 64, 64])
    """

    concurrent = True

    def __init__(
        self,
        state: Mapping[str, Tensor],
        *,
        name: str = "dcgan",
        device: Device = "cpu",
    ) -> None:
        self.name = name
        where = resolve_device(device)
        self._layers = tuple(layer.to(where) for layer in _layers(state))
        size = self._layers[0].weight.shape[-1] * 2 ** (len(self._layers) - 1)
        self.spaces = {"z": Space("z", (self._layers[0].weight.shape[0],))}
        self.image_shape = (3, size, size)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the weights."""
        tensors = {
            f"{i}.{part}": getattr(layer, part)
            for i, layer in enumerate(self._layers)
            for part in ("weight", "scale", "bias")
        }
        return fingerprint(tensors, {"dcgan": 1})

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self._layers[0].weight.device

    @property
    def follows_codes(self) -> bool:
        """Yes: the weights go where the codes are."""
        return True

    def synthesize(self, codes: Float[Tensor, "n d"], space: str = "z") -> Tensor:
        """Images of codes, differentiable; gray images are repeated over the three channels."""
        x = self.check(codes, space)[:, :, None, None]
        for i, layer in enumerate(self._layers):
            weight, bias = layer.folded.to(codes), layer.bias.to(codes)
            x = x if i == 0 else functional.relu(x)
            x = functional.conv_transpose2d(
                x, weight, bias, stride=1 if i == 0 else 2, padding=0 if i == 0 else 1
            )
        return torch.tanh(x).expand(-1, 3, -1, -1)

    def linearize(
        self, code: Float[Tensor, "d"], *, space: str | None = None, window: Window | None = None
    ) -> Linearized:
        """The image to first order; only the receptive field of the window is computed."""
        self.check(code[None], space or "z")
        model = linearize_layers(self._chain_in(code.dtype), code, window=window)
        return model if len(model.value) == 3 else model.then(lambda x: x.expand(-1, 3, -1, -1))

    def linearize_batch(
        self, codes: Float[Tensor, "n d"], *, space: str | None = None
    ) -> LinearizedBatch:
        """The images to first order; a product with J or Jᵀ costs about one forward pass."""
        self.check_shape(codes, space or "z")
        model = linearize_layers_batch(self._chain_in(codes.dtype), codes)
        gray = model.value.shape[1] == 1
        return model.then(lambda x: x.expand(-1, 3, -1, -1)) if gray else model

    def _chain_in(self, dtype: torch.dtype) -> list[nn.Module]:
        """The layers in float32, kept until weights change; in float64 for codes of that dtype."""
        if dtype == torch.float64:
            return self._deconvolutions(dtype)
        now = tuple(layer.state for layer in self._layers)
        made = self._chains.get(now) or self._deconvolutions(torch.float32)
        if None not in now and now not in self._chains:
            self._chains.clear()
            self._chains[now] = made
        return made

    @cached_property
    def _chains(self) -> dict[tuple[tuple[int, ...] | None, ...], list[nn.Module]]:
        return {}

    def _deconvolutions(self, dtype: torch.dtype) -> list[nn.Module]:
        weights = [layer.folded.to(dtype) for layer in self._layers]
        return deconvolutions(weights, [layer.bias.to(dtype) for layer in self._layers])

    def inference(
        self, *, precision: Precision = "float32", space: str = "z"
    ) -> Callable[[Tensor], Tensor]:
        """The same images, faster and without gradients.

        On digiface64 and two Zen 4 cores, float32 differs by less than 1e-5 and bfloat16 by
        0.0013 on average; the latter needs a processor with bfloat16 arithmetic to be faster.

        Args:
            precision: Type of the arithmetic; images are float32 always.
            space: Only `z`.
        """
        self.space(space)
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        first, *rest = self._layers
        side, width = first.weight.shape[-1], first.weight.shape[1]
        matrix = first.folded.permute(0, 2, 3, 1).flatten(1).to(dtype)
        bias = first.bias.repeat(side * side).to(dtype)
        windows = [layer.windows(dtype) for layer in rest]

        def run(codes: Tensor) -> Tensor:
            with torch.inference_mode():
                x = torch.addmm(bias, self.check(codes, space).to(dtype), matrix)
                x = x.view(-1, side, side, width).permute(0, 3, 1, 2)
                for weight, offset in windows:
                    x = _interleave(
                        functional.conv2d(functional.relu(x), weight, offset, padding=1)
                    )
                return x.float().contiguous().tanh_().expand(-1, 3, -1, -1)

        return run

    @property
    def tunable(self) -> dict[str, Tensor]:
        """The transposed convolutions, `[in, out, k, k]`."""
        return {f"layers.{i}.weight": layer.weight for i, layer in enumerate(self._layers)}

    @property
    def weights(self) -> dict[str, Tensor]:
        """The convolutions, and the scales and biases of their batch norms."""
        return {
            f"layers.{i}.{part}": getattr(layer, part)
            for i, layer in enumerate(self._layers)
            for part in ("weight", "scale", "bias")
        }

    def block_of(self, key: str) -> int:
        """The number of the layer."""
        return int(key.split(".")[1])

    def with_weights(self, weights: Mapping[str, Tensor], *, name: str | None = None) -> DCGAN:
        """As `Generator.with_weights`."""
        made = object.__new__(DCGAN)
        made.name, made.spaces, made.image_shape = name or self.name, self.spaces, self.image_shape
        layers = list(self._layers)
        for key, tensor in weights.items():
            _, i, part = key.split(".")
            layers[int(i)] = replace(layers[int(i)], **{part: tensor})
        made._layers = tuple(layers)
        return made

    def activations(self, codes: Float[Tensor, "n d"], key: str, space: str = "z") -> Activations:
        """As `Generator.activations`; outputs are before the ReLU."""
        check_key(self.name, self.tunable, key)
        x, last = self.check(codes, space)[:, :, None, None], int(key.split(".")[1])
        chain = self._layers[: last + 1]
        for i, layer in enumerate(chain):
            before = x if i == 0 else functional.relu(x)
            x = functional.conv_transpose2d(
                before,
                layer.folded.to(codes),
                layer.bias.to(codes),
                stride=1 if i == 0 else 2,
                padding=0 if i == 0 else 1,
            )
        return Activations(before, x, 0)

    def style_matrices(self, layers: tuple[int, ...] | None = None) -> list[Tensor]:
        """The first layer, batch norm folded in: `[out · k · k, d]`.

        Raises:
            LatdirError: Another layer than 0.
        """
        if layers not in (None, (0,)):
            raise SpaceError(
                f"{self.name} has one matrix, layer 0, not {list(layers or ())}: "
                "only the first layer of a DCGAN is a linear map of the code"
            )
        return [self._layers[0].folded.flatten(1).T]


def digiface64(*, device: Device = "cpu") -> DCGAN:
    """The built-in generator of 64×64 faces; `directions/zoo/digiface64` has its card.

    Args:
        device: Where it runs.
    """
    state = {}
    for key, tensor in zoo.load("digiface64").items():
        kind, index, part = key.split(".")
        state[f"main.{3 * int(index) + (kind == 'norm')}.{part}"] = tensor
    return DCGAN(state, name="digiface64", device=device)


def _layers(state: Mapping[str, Tensor]) -> list[_Layer]:
    modules: dict[str, dict[str, Tensor]] = {}
    for key in sorted(state, key=_natural):
        module, _, part = key.rpartition(".")
        modules.setdefault(module, {})[part] = state[key].detach()
    layers: list[_Layer] = []
    for module, parts in modules.items():
        weight = parts.get("weight")
        if weight is not None and weight.ndim == 4:
            width = weight.shape[1]
            bias = parts.get("bias", torch.zeros(width))
            layers.append(_Layer(weight.float(), torch.ones(width), bias.float()))
        elif "running_mean" in parts and layers:
            layers[-1] = _normalized(layers[-1], parts, module)
        else:
            raise CheckpointError(
                f"{module or 'the state dict'} ({', '.join(parts)}) is neither a transposed "
                "convolution nor a batch norm after one: for another architecture use "
                "directions.wrap(module, …)"
            )
    _check(layers)
    return layers


def _natural(key: str) -> list[tuple[int, str]]:
    """Sorts `main.10` after `main.9`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", key)]


def _normalized(layer: _Layer, norm: Mapping[str, Tensor], module: str) -> _Layer:
    if norm["running_mean"].shape != layer.scale.shape:
        raise CheckpointError(
            f"batch norm {module} has {len(norm['running_mean'])} channels, "
            f"but the convolution before it {len(layer.scale)}"
        )
    deviation = (norm["running_var"].double() + NORM_EPS).sqrt()
    scale = norm.get("weight", torch.ones_like(deviation)).double() / deviation
    bias = norm.get("bias", torch.zeros_like(deviation)).double()
    bias = bias + (layer.bias - norm["running_mean"].double()) * scale
    return replace(layer, scale=scale.float(), bias=bias.float())


def _check(layers: list[_Layer]) -> None:
    shapes = [tuple(layer.weight.shape) for layer in layers]
    chained = all(a[1] == b[0] for a, b in pairwise(shapes))
    square = all(s[2] == s[3] for s in shapes[:1]) and all(s[2:] == (4, 4) for s in shapes[1:])
    if len(shapes) < 2 or not chained or not square or shapes[-1][1] not in (1, 3):
        raise CheckpointError(
            f"weights of shapes {shapes} are not a DCGAN generator: it has a first square "
            "kernel, then 4×4 kernels of stride 2, channels that follow on each other, and 1 or "
            "3 of them at the end; for another architecture use directions.wrap(module, …)"
        )


def _window_convolution(layer: _Layer, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight `[4 o, c, 2, 2]` and bias `[4 o]` of the equal 2×2 convolution.

    Along one axis, input y adds to output 2y - 1 + k with tap k of four. The window (y - 1, y)
    is all that outputs 2y - 1 and 2y need: output 2y - 1 + r takes tap 2 + r of y - 1, tap r of y.
    """
    c, o = layer.weight.shape[:2]
    taps = layer.folded.view(c, o, 2, 2, 2, 2).flip(2, 4)
    weight = taps.permute(3, 5, 1, 0, 2, 4).reshape(4 * o, c, 2, 2).to(dtype)
    return weight.contiguous(memory_format=torch.channels_last), layer.bias.repeat(4).to(dtype)


def _interleave(windows: Float[Tensor, "n p g g"]) -> Float[Tensor, "n o h h"]:
    """Outputs of shifted 2×2 windows, put in their places; channels last."""
    n, h = len(windows), windows.shape[-1] - 1
    parts = windows.permute(0, 2, 3, 1).reshape(n, h + 1, h + 1, 2, 2, -1)
    out = parts.new_empty(n, 2 * h, 2 * h, parts.shape[-1])
    for r, s in product(range(2), repeat=2):
        out[:, 1 - r :: 2, 1 - s :: 2] = parts[:, 1 - r : h + 1 - r, 1 - s : h + 1 - s, r, s]
    return out.permute(0, 3, 1, 2)
