"""First-order models of a map at a batch of points, each point by itself.

The batched counterpart of `linearized`: solvers that treat many images at once need J t and Jᵀ u
at one point an image. `linearize_batch` takes any differentiable map; `linearize_layers_batch` a
plain chain of convolutions, where a product with J or Jᵀ costs about one forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions.errors import LatdirError
from directions.numerics.linearized import Conv, Gate, Linearized, linear_steps
from directions.numerics.tangents import directional

__all__ = ["LinearizedBatch", "linearize_batch", "linearize_layers_batch"]


@dataclass(frozen=True, eq=False)
class LinearizedBatch:
    """The first-order model of a map at n points: f(x_i + t_i) ≈ value_i + push(t)_i.

    Tangents and cotangents may have a leading axis of k, for k of them at each point.

    Attributes:
        value: `[n, *out]`, f(x).
        shape: Shape of one point.
        push: `[n, *shape]` to `[n, *out]`: J_i t_i; or `[k, n, *shape]` to `[k, n, *out]`.
        pull: `[n, *out]` to `[n, *shape]`: J_iᵀ u_i; or `[k, n, *out]` to `[k, n, *shape]`.

    Example:
        >>> square = linearize_batch(torch.square, torch.tensor([[1.0, 3.0], [2.0, 0.5]]))
        >>> square.push(torch.ones(2, 2))
        tensor([[2., 6.],
                [4., 1.]])
    """

    value: Tensor
    shape: tuple[int, ...]
    push: Callable[[Tensor], Tensor]
    pull: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return len(self.value)

    def then(self, function: Callable[[Tensor], Tensor]) -> LinearizedBatch:
        """The first-order model of `function` after this map.

        Args:
            function: Takes a batch `[n, *out]` and returns a batch, each element by itself.
        """
        outer = linearize_batch(function, self.value)
        return LinearizedBatch(
            outer.value,
            self.shape,
            lambda tangents: outer.push(self.push(tangents)),
            lambda cotangents: self.pull(outer.pull(cotangents)),
        )

    def single(self, footprint: int) -> Linearized:
        """The model of a batch of one as that of one point.

        Args:
            footprint: Bytes that one tangent needs, roughly.
        """
        return Linearized(
            self.value[0],
            self.shape,
            lambda tangents: self.push(tangents[:, None])[:, 0],
            lambda cotangents: self.pull(cotangents[:, None])[:, 0],
            footprint,
        )


def linearize_batch(
    function: Callable[[Tensor], Tensor], points: Float[Tensor, "n *shape"]
) -> LinearizedBatch:
    """Linearize any differentiable map at each point of a batch, by automatic differentiation.

    Args:
        function: Takes a batch `[n, *shape]` and returns a batch `[n, *out]`, each element by
            itself.
        points: Where to linearize.

    Raises:
        LatdirError: No gradient flows through the map; on `push`, as `directional`.
    """
    points = points.detach()

    def push(tangents: Tensor) -> Tensor:
        with torch.no_grad():
            if tangents.ndim == points.ndim:
                return directional(function, points, tangents.to(points)).derivative
            k = len(tangents)
            repeated = points.expand(k, *points.shape).flatten(0, 1)
            moved = directional(function, repeated, tangents.to(points).flatten(0, 1)).derivative
            return moved.reshape(k, len(points), *moved.shape[1:])

    # One graph serves the value and every product with the transpose.
    with torch.enable_grad():
        leaf = points.clone().requires_grad_()
        made = function(leaf)
    if not made.requires_grad:
        raise LatdirError(
            "no gradient flows through this map: look for .detach(), .numpy() or "
            "torch.inference_mode() in it"
        )

    def pull(cotangents: Tensor) -> Tensor:
        given = cotangents.to(made)
        if given.ndim == made.ndim:
            return torch.autograd.grad(made, leaf, given, retain_graph=True)[0]
        pulled = [torch.autograd.grad(made, leaf, u, retain_graph=True)[0] for u in given]
        return torch.stack(pulled)

    return LinearizedBatch(made.detach(), tuple(points.shape[1:]), push, pull)


def linearize_layers_batch(
    layers: Iterable[nn.Module], points: Float[Tensor, "n *shape"]
) -> LinearizedBatch:
    """Linearize a chain of convolutions, batch norms and elementwise functions at each point.

    Args:
        layers: As for `linearize_layers`.
        points: `[n, c, h, w]`, or `[n, c]` for inputs of one pixel.

    Raises:
        LatdirError: A layer of another kind.

    Example:
        >>> net = nn.Sequential(nn.ConvTranspose2d(2, 3, 4, bias=False), nn.Tanh()).eval()
        >>> model = linearize_layers_batch(net, torch.zeros(5, 2))
        >>> model.push(torch.ones(5, 2)).shape, model.pull(torch.ones(7, 5, 3, 4, 4)).shape
        (torch.Size([5, 3, 4, 4]), torch.Size([7, 5, 2]))
    """
    pixels = points.detach()
    pixels = pixels[:, :, None, None] if points.ndim == 2 else pixels
    with torch.no_grad():
        steps, value = linear_steps(layers, _last(pixels))
        forth = [_forth(step) for step in steps]
        back = [_back(step) for step in reversed(steps)]

    def through(chain: list[Callable[[Tensor], Tensor]], moved: Tensor, ndim: int) -> Tensor:
        lead = moved.shape[: moved.ndim - ndim + 1]
        with torch.no_grad():
            # Cloned, since gates multiply in place.
            x = moved.to(points).clone().reshape(-1, *moved.shape[len(lead) :])
            for link in chain:
                x = link(x)
            return x.contiguous().reshape(*lead, *x.shape[1:])

    def push(tangents: Tensor) -> Tensor:
        shaped = tangents.reshape(*tangents.shape[: -points.ndim + 1], *pixels.shape[1:])
        return through(forth, shaped, 4)

    def pull(cotangents: Tensor) -> Tensor:
        pulled = through(back, cotangents, 4)
        return pulled.reshape(*cotangents.shape[:-3], *points.shape[1:])

    return LinearizedBatch(value, tuple(points.shape[1:]), push, pull)


def _gated(gate: Tensor) -> Callable[[Tensor], Tensor]:
    factors = gate.contiguous(memory_format=torch.channels_last)

    def run(t: Tensor) -> Tensor:
        # In place: a fresh feature map costs more than the product.
        t.view(-1, *factors.shape).mul_(factors)
        return t

    return run


def _forth(step: Gate | Conv) -> Callable[[Tensor], Tensor]:
    """A step of the chain on tangents."""
    if isinstance(step, Gate):
        return _gated(step.factors)
    layer, weight = step.layer, _kernel(step.layer)
    padding = cast(tuple[int, int], layer.padding)
    if _spreads(step):
        return _spread(weight)[0]
    if isinstance(layer, nn.ConvTranspose2d):
        return lambda t: functional.conv_transpose2d(
            _last(t), weight, None, layer.stride, padding, layer.output_padding,
            layer.groups, layer.dilation,
        )  # fmt: skip
    return lambda t: functional.conv2d(
        _last(t), weight, None, layer.stride, padding, layer.dilation, layer.groups
    )


def _back(step: Gate | Conv) -> Callable[[Tensor], Tensor]:
    """The same step's transpose on cotangents."""
    if isinstance(step, Gate):
        return _gated(step.factors)
    layer, weight, size = step.layer, _kernel(step.layer), step.size
    padding = cast(tuple[int, int], layer.padding)
    if _spreads(step):
        return _spread(weight)[1]
    if isinstance(layer, nn.ConvTranspose2d):

        def convolved(u: Tensor) -> Tensor:
            made = functional.conv2d(
                _last(u), weight, None, layer.stride, padding, layer.dilation, layer.groups
            )
            # Output padding can leave room for more rows than there were.
            return made[:, :, : size[0], : size[1]]

        return convolved

    def transposed(u: Tensor) -> Tensor:
        made = [
            (u.shape[2 + axis] - 1) * layer.stride[axis]
            - 2 * padding[axis]
            + layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            + 1
            for axis in (0, 1)
        ]
        # Rows that are left over by the stride.
        extra = [size[axis] - made[axis] for axis in (0, 1)]
        return functional.conv_transpose2d(
            _last(u), weight, None, layer.stride, padding, extra, layer.groups,
            layer.dilation,
        )  # fmt: skip

    return transposed


def _spreads(step: Conv) -> bool:
    """Whether a step spreads one pixel over a kernel: the first layer of a DCGAN."""
    layer = step.layer
    plain = layer.groups == 1 and layer.dilation == (1, 1)
    plain = plain and layer.output_padding == (0, 0) and layer.padding == (0, 0)
    return isinstance(layer, nn.ConvTranspose2d) and plain and step.size == (1, 1)


def _spread(weight: Tensor) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Such a step as a product with a matrix, and its transpose."""
    inputs, outputs, height, width = weight.shape
    matrix = weight.permute(0, 2, 3, 1).reshape(inputs, -1)

    def forth(t: Tensor) -> Tensor:
        made = t.reshape(-1, inputs) @ matrix
        return made.reshape(-1, height, width, outputs).permute(0, 3, 1, 2)

    def back(u: Tensor) -> Tensor:
        rows = u.permute(0, 2, 3, 1).reshape(-1, matrix.shape[1])
        return (rows @ matrix.T)[:, :, None, None]

    return forth, back


def _kernel(layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    return layer.weight.detach().contiguous(memory_format=torch.channels_last)


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
