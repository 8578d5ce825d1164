"""First-order models of a map at one point: its value, and products with its Jacobian.

`linearize` takes any differentiable map, by forward- and reverse-mode differentiation.
`linearize_layers` takes a plain chain of convolutions: at a fixed code every batch norm, ReLU and
tanh is one multiplication by a stored map, so that tangents pass through it as an ordinary
batch of images, and a window of the output needs only its receptive field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from directions.errors import LatdirError
from directions.numerics.tangents import pushforward

__all__ = [
    "Conv",
    "Gate",
    "Linearized",
    "Window",
    "deconvolutions",
    "linear_steps",
    "linearize",
    "linearize_layers",
]

Window = tuple[int, int, int, int]
"""(top, left, bottom, right) of a rectangle of pixels; the last two are excluded."""

ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus)
# A tangent needs a layer's input and output, and the kernel's workspace.
LIVE_LAYERS = 3


@dataclass(frozen=True, eq=False)
class Linearized:
    """The first-order model of a map at one point: f(x + t) ≈ value + push(t).

    Attributes:
        value: `[*out]`, f(x).
        shape: Shape of x.
        push: `[k, *shape]` to `[k, *out]`: J t for k tangents.
        pull: `[k, *out]` to `[k, *shape]`: Jᵀ u for k cotangents.
        footprint: Bytes that one tangent needs, roughly.

    Example:
        >>> square = linearize(lambda x: x**2, torch.tensor([1.0, 3.0]))
        >>> square.push(torch.eye(2)).tolist()
        [[2.0, 0.0], [0.0, 6.0]]
    """

    value: Tensor
    shape: tuple[int, ...]
    push: Callable[[Tensor], Tensor]
    pull: Callable[[Tensor], Tensor]
    footprint: int

    def then(self, function: Callable[[Tensor], Tensor]) -> Linearized:
        """The first-order model of `function` after this map.

        Args:
            function: Takes a batch `[n, *out]` and returns a batch.
        """
        outer = linearize(function, self.value)
        return Linearized(
            value=outer.value,
            shape=self.shape,
            push=lambda tangents: outer.push(self.push(tangents)),
            pull=lambda cotangents: self.pull(outer.pull(cotangents)),
            footprint=max(self.footprint, outer.footprint),
        )


def linearize(function: Callable[[Tensor], Tensor], point: Float[Tensor, "..."]) -> Linearized:
    """Linearize any differentiable map by automatic differentiation.

    Args:
        function: Takes a batch `[n, *shape]` and returns a batch `[n, *out]`, each element by
            itself.
        point: `[*shape]`, where to linearize.

    Raises:
        LatdirError: On `push`, as `pushforward`.
    """
    point = point.detach()
    with torch.no_grad(), _LargestTensor() as seen:  # type: ignore[no-untyped-call]
        value = function(point[None])[0]

    def push_one(tangent: Tensor) -> Tensor:
        return pushforward(function, point[None], tangent[None]).derivative[0]

    def push(tangents: Tensor) -> Tensor:
        with torch.no_grad():
            moved: Tensor = torch.func.vmap(push_one)(tangents.to(point))
            return moved

    @cache
    def reverse() -> Callable[[Tensor], tuple[Tensor]]:
        with torch.enable_grad():
            made: Any = torch.func.vjp(function, point[None])[1]
        back: Callable[[Tensor], tuple[Tensor]] = torch.func.vmap(lambda u: made(u[None])[0][0])
        return back

    def pull(cotangents: Tensor) -> Tensor:
        pulled: Any = reverse()(cotangents.to(value))
        gathered: Tensor = pulled.detach()
        return gathered

    return Linearized(value, tuple(point.shape), push, pull, LIVE_LAYERS * seen.bytes)


def linearize_layers(
    layers: Iterable[nn.Module], point: Float[Tensor, "..."], *, window: Window | None = None
) -> Linearized:
    """Linearize a chain of convolutions, batch norms and elementwise functions.

    Args:
        layers: `Conv2d`, `ConvTranspose2d`, `BatchNorm2d` in evaluation, and elementwise
            activations, in order.
        point: `[c, h, w]`, the first layer's input, or `[c]` for an input of one pixel.
        window: Part of the output wanted; only its receptive field is computed.

    Raises:
        LatdirError: A layer of another kind, or a window outside the output.

    Example:
        >>> net = nn.Sequential(nn.ConvTranspose2d(2, 3, 4, bias=False), nn.Tanh()).eval()
        >>> model = linearize_layers(net, torch.zeros(2, 1, 1), window=(0, 0, 2, 4))
        >>> model.value.shape, model.push(torch.ones(5, 2, 1, 1)).shape
        (torch.Size([3, 2, 4]), torch.Size([5, 3, 2, 4]))
    """
    pixels = point.detach()[:, None, None] if point.ndim == 1 else point.detach()
    steps, values = linear_steps(layers, pixels[None])
    value = values[0]
    height, width = value.shape[1:]
    top, left, bottom, right = window = window or (0, 0, height, width)
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise LatdirError(
            f"window {window} is outside the output of {height}×{width} pixels: "
            "give (top, left, bottom, right), the last two excluded"
        )
    run, footprint = _cropped(steps, window)

    def push(tangents: Tensor) -> Tensor:
        with torch.no_grad():
            return run(tangents.to(point).reshape(-1, *pixels.shape)).contiguous()

    def pull(cotangents: Tensor) -> Tensor:
        # The map is linear, so any point will do to transpose it at.
        zeros = pixels.new_zeros(len(cotangents), *pixels.shape).requires_grad_()
        with torch.enable_grad():
            pulled = torch.autograd.grad(run(zeros), zeros, cotangents.to(point))[0]
        return pulled.reshape(-1, *point.shape)

    cut = value[:, top:bottom, left:right]
    return Linearized(cut, tuple(point.shape), push, pull, footprint)


def deconvolutions(
    kernels: Sequence[Float[Tensor, "_ _ _ _"]], biases: Sequence[Float[Tensor, "_"]]
) -> list[nn.Module]:
    """The layers of a DCGAN, batch norm folded in, for `linearize_layers`.

    Args:
        kernels: Of transposed convolutions; the first has stride 1 and no padding, the others
            stride 2 and padding 1. ReLU between them, tanh at the end.
        biases: One for each kernel.

    Example:
        >>> layers = deconvolutions([torch.ones(8, 3, 4, 4)], [torch.zeros(3)])
        >>> linearize_layers(layers, torch.zeros(8)).value.shape
        torch.Size([3, 4, 4])
    """
    layers: list[nn.Module] = []
    for kernel, bias in zip(kernels, biases, strict=True):
        stride, padding = (2, 1) if layers else (1, 0)
        inputs, outputs, side, _ = kernel.shape
        # On the meta device nothing is initialized, so that no random number is drawn.
        layer = nn.ConvTranspose2d(inputs, outputs, side, stride, padding, device="meta")
        # As convolutions of channels-last images read it, so that it is copied once only.
        laid_out = kernel.detach().contiguous(memory_format=torch.channels_last)
        layer.weight = nn.Parameter(laid_out, requires_grad=False)
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
        layers += [nn.ReLU(), layer] if layers else [layer]
    return [*layers, nn.Tanh()]


class _LargestTensor(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the largest tensor that any operation makes."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, Tensor):
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return made


@dataclass(frozen=True, eq=False)
class Gate:
    """Multiplication by a fixed map at each point, `[n, c, h, w]`: batch norm and activations."""

    factors: Tensor


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution without its bias, and the size of its input."""

    layer: nn.Conv2d | nn.ConvTranspose2d
    size: tuple[int, int]


def linear_steps(
    layers: Iterable[nn.Module], points: Float[Tensor, "n c h w"]
) -> tuple[list[Gate | Conv], Tensor]:
    """The linear form of a chain of layers at each point, and its output.

    Args:
        layers: As for `linearize_layers`.
        points: Inputs of the first layer.

    Returns:
        Convolutions and the gates between them, neighboring gates merged; and `[n, *out]`.

    Raises:
        LatdirError: A layer of another kind.
    """
    steps: list[Gate | Conv] = []
    value = points
    for layer in layers:
        gate: Tensor | None = None
        with torch.no_grad():
            after = layer(value)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            if not _plainly_padded(layer):
                raise LatdirError(
                    f"{layer} has a padding mode that is not linearized here: "
                    "use linearize(module, code)"
                )
            steps.append(Conv(layer, (value.shape[2], value.shape[3])))
        elif isinstance(layer, nn.BatchNorm2d) and not layer.training:
            assert layer.running_var is not None
            scale = (layer.running_var + layer.eps).rsqrt()
            scale = scale if layer.weight is None else scale * layer.weight.detach()
            gate = scale[:, None, None].expand(value.shape)
        elif isinstance(layer, nn.ReLU):
            gate = (after > 0).to(after.dtype)
        elif isinstance(layer, nn.Tanh):
            gate = 1 - after.square()
        elif isinstance(layer, ELEMENTWISE):
            with torch.enable_grad():
                given = value.detach().requires_grad_()
                # Not in place: the input is a leaf.
                gate = torch.autograd.grad(_out_of_place(layer)(given).sum(), given)[0]
        else:
            raise LatdirError(
                f"{type(layer).__name__} is not a convolution, a batch norm in evaluation or an "
                "elementwise activation: call module.eval(), or use linearize(module, code)"
            )
        if gate is not None and steps and isinstance(steps[-1], Gate):
            steps[-1] = Gate(steps[-1].factors * gate)
        elif gate is not None:
            steps.append(Gate(gate))
        value = after
    return steps, value


def _plainly_padded(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return False
    # Padding beyond the kernel would make pixels that read nothing but zeros.
    return all(
        layer.padding[axis] <= layer.dilation[axis] * (layer.kernel_size[axis] - 1)
        for axis in (0, 1)
    )


def _out_of_place(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: layer(x.clone())


def _cropped(
    steps: Sequence[Gate | Conv], window: Window
) -> tuple[Callable[[Tensor], Tensor], int]:
    """The chain restricted to the receptive field of a window, and its footprint."""
    chain: list[Callable[[Tensor], Tensor]] = []
    largest = 0
    for step in reversed(steps):
        top, left, bottom, right = window
        if isinstance(step, Gate):
            gate = step.factors[:, :, top:bottom, left:right]
            gate = gate.contiguous(memory_format=torch.channels_last)
            chain.append(gate.mul)
            continue
        wanted = ((top, bottom), (left, right))
        plan = [_span(step.layer, axis, step.size[axis], wanted[axis]) for axis in (0, 1)]
        chain.append(_convolution(step.layer, plan))
        (top, bottom), (left, right) = (p.source for p in plan)
        window = (top, left, bottom, right)
        area = (bottom - top) * (right - left) * step.layer.in_channels
        made = math.prod(b - a for a, b in wanted) * step.layer.out_channels
        largest = max(largest, max(area, made) * step.layer.weight.element_size())
    # Crops the input to the range of the first layer.
    top, left, bottom, right = window
    chain.append(lambda t: t[:, :, top:bottom, left:right])

    def run(tangents: Tensor) -> Tensor:
        for link in reversed(chain):
            tangents = link(tangents)
        return tangents

    return run, LIVE_LAYERS * largest


@dataclass(frozen=True)
class _Span:
    """Along one axis: the input pixels that wanted output pixels read, and the padding."""

    source: tuple[int, int]
    before: int
    after: int


def _span(
    layer: nn.Conv2d | nn.ConvTranspose2d, axis: int, size: int, wanted: tuple[int, int]
) -> _Span:
    """Input range of a convolution for the output pixels `wanted`, half open.

    For `Conv2d`, `before` and `after` zeros pad its input. For `ConvTranspose2d` they are output
    pixels to drop on either side, or, when negative, zeros to add.
    """
    first, last = wanted
    stride, padding = layer.stride[axis], int(layer.padding[axis])
    reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
    if isinstance(layer, nn.ConvTranspose2d):
        # Output o = stride · i - padding + tap, with taps 0 … reach.
        low = min(-(-(first + padding - reach) // stride), (first + padding) // stride)
        high = (last - 1 + padding) // stride + 1
        low, high = max(0, low), min(size, high)
        # A window may be where no input pixel reaches; one is read anyway.
        low = min(low, high - 1)
        made = (high - low - 1) * stride + reach + 1
        start = min(first + padding - low * stride, made)
        return _Span((low, high), start, made - (start + last - first))
    low, high = first * stride - padding, (last - 1) * stride - padding + reach + 1
    inner = (min(max(0, low), size - 1), max(min(size, high), 1))
    return _Span(inner, inner[0] - low, high - inner[1])


def _convolution(
    layer: nn.Conv2d | nn.ConvTranspose2d, plan: Sequence[_Span]
) -> Callable[[Tensor], Tensor]:
    weight = layer.weight.detach().contiguous(memory_format=torch.channels_last)
    options: dict[str, Any] = {
        "stride": layer.stride,
        "dilation": layer.dilation,
        "groups": layer.groups,
    }
    # Equal padding on both sides is the kernel's own, without a copy.
    common = [max(0, min(p.before, p.after)) for p in plan]
    rows, columns = ((p.before - c, p.after - c) for p, c in zip(plan, common, strict=True))
    rest = [*columns, *rows]
    if isinstance(layer, nn.ConvTranspose2d):

        def transposed(t: Tensor) -> Tensor:
            t = t.contiguous(memory_format=torch.channels_last)
            made = functional.conv_transpose2d(t, weight, padding=common, **options)
            return functional.pad(made, [-r for r in rest]) if any(rest) else made

        return transposed

    def convolved(t: Tensor) -> Tensor:
        t = functional.pad(t, rest) if any(rest) else t
        t = t.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(t, weight, padding=common, **options)

    return convolved
