"""Directional derivatives of batches through a network, at the cost of two forward passes.

PyTorch's forward mode convolves three times where a convolution's input has a tangent: the input,
the tangent, and once more with a weight whose tangent is zero; products of matrices likewise. Here
layers that are linear in their input, and products with a constant, take the tangent through alone.

Alone, it may be rounded: values stay in float32, since rounding them moves the point where the
derivative is taken, while bfloat16 convolutions of tangents only add noise of 0.4 % to each.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from directions.errors import LatdirError
from directions.fingerprints import Precision

__all__ = ["Directional", "directional", "pushforward"]

# Each takes the input first, the weight second and, by place or name, the bias third.
CONVOLUTIONS = {
    torch.conv1d,
    torch.conv2d,
    torch.conv3d,
    torch.conv_transpose2d,
    torch.nn.functional.conv2d,
    torch.nn.functional.conv_transpose2d,
}
LINEAR = CONVOLUTIONS | {torch.nn.functional.linear}

# Linear in each of two operands; a quotient is in its first.
PRODUCTS = {torch.matmul, torch.Tensor.matmul}
QUOTIENTS = {torch.div, torch.Tensor.div, torch.Tensor.true_divide}


class Directional(NamedTuple):
    """Values of a map and its derivatives along one tangent each.

    Attributes:
        value: `[n, …]`.
        derivative: `[n, …]`, of the same shape.
    """

    value: Tensor
    derivative: Tensor


def pushforward(
    function: Callable[[Tensor], Tensor],
    points: Float[Tensor, "n *shape"],
    tangents: Float[Tensor, "n *shape"],
) -> Directional:
    """f(x) and J(x) t by PyTorch's own forward mode.

    Args:
        function: Maps a batch to a batch, each element separately.
        points: `[n, …]`.
        tangents: `[n, …]`; gradients flow back from the derivative to them.

    Raises:
        LatdirError: An operation of the map has no forward-mode derivative.
    """
    with warnings.catch_warnings():
        # torch 2.14 warns of its own use of torch.jit when forward mode is first used.
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.script` is deprecated")
        try:
            made: Any = torch.func.jvp(function, (points.contiguous(),), (tangents.contiguous(),))
        except NotImplementedError as error:
            raise LatdirError(
                f"this map has an operation without a forward-mode derivative ({error}): "
                "write it with differentiable torch operations, or give the generator "
                "a `linearize` of its own"
            ) from error
    return Directional(*made)


def directional(
    function: Callable[[Tensor], Tensor],
    points: Float[Tensor, "n *shape"],
    tangents: Float[Tensor, "n *shape"],
    *,
    precision: Precision = "float32",
) -> Directional:
    """f(x) and J(x) t for a batch of points with one tangent each, tangents taking their own way.

    Args:
        function: Maps a batch to a batch, each element separately.
        points: `[n, …]`.
        tangents: `[n, …]`.
        precision: Of the convolutions of tangents by weights that stay. Values, every other
            operation and the types of both results are the same with `bfloat16`.

    Raises:
        LatdirError: As `pushforward`, or the map does not depend on its argument.

    Example:
        >>> directional(torch.square, torch.tensor([3.0]), torch.tensor([0.5]))
        Directional(value=tensor([9.]), derivative=tensor([3.]))
    """
    lost = False

    def alone(x: Tensor) -> Tensor:
        nonlocal lost
        with _TangentsAlone(precision):
            made = function(x)
        lost = _parts(made)[1] is None
        return made

    found = pushforward(alone, points, tangents)
    if lost:
        raise LatdirError(
            "this map loses the derivative of its argument: look for .detach(), .numpy() or "
            "torch.inference_mode() in it"
        )
    return found


class _TangentsAlone(TorchFunctionMode):
    """Mode that sends the tangent of an input alone through linear layers."""

    def __init__(self, precision: Precision) -> None:
        super().__init__()
        self.low = precision == "bfloat16"

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in PRODUCTS | QUOTIENTS and len(args) == 2 and not kwargs:
            return _product(func, *args)
        if func not in LINEAR or len(args) < 2:
            return func(*args, **kwargs)
        value, tangent = _parts(args[0])
        others = [a for a in (*args[1:3], *kwargs.values()) if isinstance(a, Tensor)]
        weights_move = any(_parts(a)[1] is not None for a in others)
        if tangent is None or weights_move:
            return func(*args, **kwargs)
        made = func(value, *args[1:], **kwargs)
        # The bias is a constant, so it has no tangent.
        rest = list(args[1:])
        if len(rest) > 1:
            rest[1] = None
        unbiased = {name: a for name, a in kwargs.items() if name != "bias"}
        if self.low and func in CONVOLUTIONS and isinstance(rest[0], Tensor):
            tangent, rest[0] = tangent.bfloat16(), rest[0].bfloat16()
        return _joined(made, func(tangent, *rest, **unbiased).to(made.dtype))


def _product(func: Any, a: Any, b: Any) -> Any:
    """A product or quotient, with the tangent of one operand alone where the other stays."""
    (left, turned), (right, moved) = _parts(a), _parts(b)
    if turned is not None and moved is None:
        return _joined(func(left, right), func(turned, right))
    if turned is None and moved is not None and func in PRODUCTS:
        return _joined(func(left, right), func(left, moved))
    return func(a, b)


def _joined(value: Tensor, tangent: Tensor) -> Tensor:
    dual: Tensor = forward_ad.make_dual(value, tangent)  # type: ignore[no-untyped-call]
    return dual


def _parts(dual: Any) -> tuple[Any, Tensor | None]:
    if not isinstance(dual, Tensor):
        return dual, None
    value, tangent = forward_ad.unpack_dual(dual)  # type: ignore[no-untyped-call]
    return value, tangent
