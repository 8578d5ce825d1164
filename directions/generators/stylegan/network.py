"""The contract of style-based networks."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import forward_ad

__all__ = ["StyleNetwork", "substituted"]


class StyleNetwork(nn.Module):
    """The weights and equations of one style-based generator.

    Attributes:
        z_dim: Coordinates of z.
        w_dim: Coordinates of w.
        c_dim: Number of classes it is conditional on; 0 when it is not.
        num_ws: Number of w slots the synthesis reads.
        resolution: Side of its images in pixels.
        image_channels: Channels of its images.
        style_slots: For each affine layer, in order of use, the w slot it reads.
        style_sizes: For each affine layer, its number of channels.
        style_names: For each affine layer, its name.
    """

    z_dim: int
    w_dim: int
    c_dim: int
    num_ws: int
    resolution: int
    image_channels: int
    style_slots: tuple[int, ...]
    style_sizes: tuple[int, ...]
    style_names: tuple[str, ...]
    w_avg: Tensor

    @abstractmethod
    def mapping(self, z: Float[Tensor, "n z"], label: Tensor | None) -> Float[Tensor, "n w"]:
        """Noise, and a one-hot label for conditional ones, to w."""

    @abstractmethod
    def affine(self, layer: int) -> nn.Linear:
        """The affine layer of that number, as an ordinary linear layer."""

    @abstractmethod
    def block_of(self, key: str) -> int:
        """The block that a parameter of the synthesis belongs to, counted from the first."""

    @abstractmethod
    def synthesis(
        self, styles: Sequence[Float[Tensor, "n _"]], *, noise: str | int
    ) -> Float[Tensor, "n 3 h w"]:
        """Images of the affine layers' outputs."""


def substituted(network: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """A copy of a network with some parameters replaced; all others are shared.

    Those that have a graph or a tangent are kept as they are, so that derivatives flow through
    them.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> twice = substituted(layer, {"weight": 2 * layer.weight.detach()})
        >>> bool((twice.weight == 2 * layer.weight).all()), twice.bias is layer.bias
        (True, True)
    """
    made = copy.copy(network)
    made._parameters = dict(network._parameters)
    made._modules = {}
    inner: dict[str, dict[str, Tensor]] = {}
    for key, tensor in weights.items():
        first, _, rest = key.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = tensor
        elif tensor.requires_grad or _has_tangent(tensor):
            del made._parameters[first]
            made.__dict__[first] = tensor
        else:
            made._parameters[first] = nn.Parameter(tensor, requires_grad=False)
    for name, part in network._modules.items():
        changed = part is not None and name in inner
        made._modules[name] = substituted(part, inner[name]) if changed and part else part
    return made


def _has_tangent(tensor: Tensor) -> bool:
    _, tangent = forward_ad.unpack_dual(tensor)  # type: ignore[no-untyped-call]
    return tangent is not None
