"""Unit steps: each code moves along a line of its own, whose direction a network gives.

E. K. Yüksel et al.: LatentCLR, ICCV 2021, arXiv:2104.00820: z + a n(z) / ‖n(z)‖ with n linear or a
small network. `discovery.LatentCLR` trains them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, normalize, relu

from directions.classifiers.base import Classifier
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.paths.base import CurvedPath
from directions.paths.contents import StoredPath

__all__ = ["Constant", "UnitStepPath", "folded", "step_network"]


@dataclass(frozen=True, eq=False)
class UnitStepPath(CurvedPath):
    """Steps along the unit vector of a network's output, rectified between its layers.

    Attributes:
        name: What it is called.
        space: Name of the codes' space.
        sigma: Standard deviation of the prior's codes along the mean step.
        weights: Of each layer, `[out, in]`, from codes to codes.
        biases: Of each layer, `[out]`.
        generator: Name of the generator.
        fingerprint: Its sha256.

    Raises:
        LatdirError: Layers that do not follow on each other, or a sigma that is not positive.

    Example:
        >>> layer = (torch.eye(2),), (torch.zeros(2),)
        >>> path = UnitStepPath("out", "z", 1.0, *layer, "toy", "0" * 64)
        >>> path.shift(torch.tensor([[3.0, 4.0]]), 5.0)
        tensor([[6., 8.]])
    """

    kind: ClassVar[str] = "unit_step"

    name: str
    space: str
    sigma: float
    weights: tuple[Float[Tensor, "o i"], ...]
    biases: tuple[Float[Tensor, "o"], ...]
    generator: str
    fingerprint: str

    def __post_init__(self) -> None:
        shapes = [list(w.shape) for w in self.weights]
        outs = [list(b.shape) for b in self.biases]
        ends = [*(o for o, _ in shapes[-1:]), *(o for o, _ in shapes)]
        wanted = [[o, i] for i, o in pairwise(ends)]
        if not shapes or shapes != wanted or outs != [[o] for o, _ in shapes]:
            raise LatdirError(
                f"path {self.name!r} has weights and biases of shapes {shapes} and {outs}: layers "
                "must follow on each other, from a code's numbers back to as many"
            )
        if not self.sigma > 0:
            raise LatdirError(f"path {self.name!r} has sigma {self.sigma}: it is positive")

    def shift(
        self, codes: Float[Tensor, "n *shape"], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n *shape"]:
        """Move codes along their lines.

        Args:
            codes: `[n, *shape]`.
            amount: A number, or one for each code.
            unit: `sigma` (default), or `latent`, the distance moved.

        Raises:
            LatdirError: Codes of another size, or an unknown unit.
        """
        lengths = {"sigma": self.sigma, "latent": 1.0}
        steps = self._steps(amount, codes, lengths, unit)
        x = self._flat(codes, self.weights[0].shape[1])
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = linear(relu(x) if i else x, weight.to(x), bias.to(x))
        return codes + (steps[:, None] * normalize(x)).reshape(codes.shape)

    def stored(self) -> StoredPath:
        """The layers as tensors, the rest as settings."""
        both = enumerate(zip(self.weights, self.biases, strict=True))
        tensors = {
            f"{i}.{part}": t
            for i, wb in both
            for part, t in zip(("weight", "bias"), wb, strict=True)
        }
        config = {name: getattr(self, name) for name in ("name", "space", "sigma")}
        return StoredPath(self.generator, self.fingerprint, config, tensors)

    @classmethod
    def restored(
        cls,
        stored: StoredPath,
        *,
        generator: Generator | None = None,
        classifier: Classifier | None = None,
    ) -> UnitStepPath:
        """The path again; it needs neither generator nor classifier."""
        layers = range((len(stored.tensors) + 1) // 2)
        axes = {f"{i}.{part}": n for i in layers for part, n in (("weight", 2), ("bias", 1))}
        tensors = [*stored.shaped_tensors(axes).values()]
        weights, biases = tuple(tensors[::2]), tuple(tensors[1::2])
        words = stored.typed_config({"name": str, "space": str, "sigma": float})
        return cls(**words, **stored.owner, weights=weights, biases=biases)


class Constant(nn.Module):
    """The same vector `[d]` for every code."""

    def __init__(self, vector: Float[Tensor, "d"]) -> None:
        super().__init__()
        self.vector = nn.Parameter(vector)

    def forward(self, codes: Tensor) -> Tensor:
        """The vector, once for each code."""
        return self.vector.expand_as(codes)


def step_network(size: int, depth: int) -> nn.Sequential:
    """Linear layers of `size` units, all but the last normalized and rectified.

    Example:
        >>> [type(layer).__name__ for layer in step_network(3, 2)]
        ['Linear', 'BatchNorm1d', 'ReLU', 'Linear']
    """
    layers: list[nn.Module] = []
    for _ in range(depth - 1):
        layers += [nn.Linear(size, size), nn.BatchNorm1d(size), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(size, size, bias=depth == 1))


def folded(network: nn.Module) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Weights and biases of the linear layers, with the normalizations in them.

    Args:
        network: A `step_network` that is trained, or a `Constant`.
    """
    if isinstance(network, Constant):
        zero = torch.zeros(len(network.vector), len(network.vector))
        return (zero,), (network.vector.detach().cpu(),)
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    for layer in network.children():
        if isinstance(layer, nn.Linear):
            weights.append(layer.weight.detach().cpu())
            zero = layer.weight.new_zeros(len(layer.weight))
            biases.append((zero if layer.bias is None else layer.bias).detach().cpu())
        elif isinstance(layer, nn.BatchNorm1d):
            mean, variance = (getattr(layer, f"running_{n}").cpu() for n in ("mean", "var"))
            gain = layer.weight.detach().cpu() * (variance + layer.eps).rsqrt()
            weights[-1] = gain[:, None] * weights[-1]
            biases[-1] = gain * (biases[-1] - mean) + layer.bias.detach().cpu()
    return tuple(weights), tuple(biases)
