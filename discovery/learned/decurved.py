"""Curvilinear coordinates trained to be told apart: curved paths that commute.

T. Aoshima & T. Matsubara: Deep Curvilinear Editing (DeCurvEd), CVPR 2023, arXiv:2211.14573. One
invertible map f takes codes to coordinates, and direction k is the k-th of them: a code moves to
f⁻¹(f(x) + ε eₖ). The map is trained as in `contrast.py`. Two edits give the same in either order,
and an edit is undone by its negative, exactly.

Differences from the paper: f is of coupling layers (`directions.paths.flows.couplings`), whose
inverse is exact, where the paper solves a differential equation; it starts as a rotation of
whitened codes, so that paths are straight before training; and a step that is longer than its
amount is penalized, since codes far from all others are the easiest to tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import ClassVar

import torch
from torch import Tensor

from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.numerics.eigen import eigh
from directions.paths.flows.coordinate import CoordinatePath
from directions.paths.flows.couplings import Couplings
from discovery.learned.contrast import ContrastMethod, Mover, spread
from discovery.learned.mean_steps import Trained
from discovery.learned.networks.flows import LearnedCouplings
from discovery.learned.path_methods import PathMethod

__all__ = ["DeCurvEd", "whitening"]

JUDGED = 256
FLAT = 1e-10
TINY = 1e-3  # a step is drawn as 0 once in millions


class Curvilinear(Mover):
    """Moves along the first coordinates of coupling layers.

    Args:
        chart: Mean, chart and its inverse, as of `whitening`.
        couplings: The map before training.
        scale: Latent units to one of an amount, which is in standard deviations here.
        weight: λ of the penalty of long steps.
    """

    mean: Tensor
    chart: Tensor
    back: Tensor

    def __init__(
        self,
        chart: tuple[Tensor, Tensor, Tensor],
        couplings: Couplings,
        scale: float,
        weight: float,
    ) -> None:
        super().__init__()
        for name, tensor in zip(("mean", "chart", "back"), chart, strict=True):
            self.register_buffer(name, tensor)
        self.map, self.scale, self.weight = LearnedCouplings(couplings), scale, weight

    def forward(self, codes: Tensor, index: Tensor, amount: Tensor) -> Tensor:
        """As `Mover.forward`."""
        return codes + self._white_steps(codes, index, amount) @ self.back

    def penalty(self, codes: Tensor, index: Tensor, amount: Tensor) -> Tensor:
        """λ mean max(0, ‖Δ‖ / |ε| - 1)², Δ being the step of the white code."""
        length = self._white_steps(codes, index, amount).norm(dim=1)
        longer: Tensor = (length / (amount.abs() / self.scale).clamp_min(TINY) - 1).relu()
        return self.weight * longer.square().mean()

    def _white_steps(self, codes: Tensor, index: Tensor, amount: Tensor) -> Tensor:
        """f⁻¹(f(x) + ε eₖ) - x."""
        x = (codes - self.mean) @ self.chart
        flow, none = self.map.flow, x[:, :0]
        step = torch.zeros_like(x).scatter(1, index[:, None], amount[:, None] / self.scale)
        return flow.inverse(flow.forward(x, none)[0] + step, none) - x


@dataclass(frozen=True)
class DeCurvEd(PathMethod[CoordinatePath], ContrastMethod):
    """Curved paths that commute, trained to be told apart; see `ContrastMethod` for the rest.

    `train` gives the paths themselves, which share one map; `discover` their mean steps. Evidence:
    `accuracy` and `amount_error` of the reconstructor on held-out codes, `agreement` (mean cosine
    of the codes' own steps with the mean step), and `bend` (1 - mean cosine of a code's steps from
    -1 to 0 and from 0 to 1 sigma).

    Attributes:
        reach: Longest step, in mean standard deviations of the codes' coordinates.
        hidden: Units of the networks' two hidden layers.
        depth: Coupling layers.
        length_weight: λ, weight of the penalty of steps of whitened codes that are longer than
            their amounts. With 0, one sigma may move a code further than codes are apart.

    Example:
        >>> from directions.generators import load_generator
        >>> found = DeCurvEd(n_directions=2, hidden=8, steps=20, n_codes=64, batch_size=8)
        >>> found.discover(load_generator("planted"))
        DirectionBank(planted: decurved_00, decurved_01)
    """

    reach: float = 3.0
    hidden: int = 64
    depth: int = 4
    length_weight: float = 1.0

    method: ClassVar[str] = "decurved"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_least(1, "hidden")
        self._check_least(0, "length_weight")

    def _trained(
        self, generator: Generator, seed: int, checkpoint: str | PathLike[str] | None
    ) -> Trained[CoordinatePath]:
        space, found = self._contrasted(generator, seed, checkpoint)
        mover = found.mover
        assert isinstance(mover, Curvilinear)
        flow = Couplings(*(t.cpu() for t in mover.map.frozen))
        codes = generator.sample(JUDGED, seed=seed, start=self.n_codes, space=space)
        paths = {}
        for name, j in found.order(self.method):
            path = CoordinatePath(
                name,
                space,
                j,
                1.0,
                1.0,
                mover.mean.cpu(),
                mover.chart.cpu(),
                mover.back.cpu(),
                flow,
                generator.name,
                generator.fingerprint,
                {},
            )
            sigma = float(path.coordinates(codes)[:, j].std())
            path = replace(path, per_sigma=sigma)
            steps = (path.shift(codes, 0.1) - codes).flatten(1)
            paths[name] = replace(path, length=float(steps.norm(dim=1).mean()) / 0.1)
        return Trained(paths, codes, found.figures, found.provenance)

    def _mover(self, generator: Generator, space: str, seed: int) -> Mover:
        chart = whitening(generator, space)
        rank = chart[1].shape[1]
        if self.n_directions > rank:
            raise LatdirError(
                f"codes of {space} vary in {rank} dimensions, which have no "
                f"{self.n_directions} coordinates: lower n_directions to {rank}"
            )
        flow = Couplings.started(rank, 0, hidden=self.hidden, layers=self.depth, seed=seed)
        return Curvilinear(chart, flow, spread(generator, space), self.length_weight)


def whitening(generator: Generator, space: str) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of a space's codes, the matrix `[d, r]` that makes them white, and its inverse."""
    prior = generator.prior(space)
    found = eigh(prior.covariance)
    kept = found.values > FLAT * found.values[0]
    scale, basis = found.values[kept].sqrt(), found.vectors[kept]
    chart, back = (basis / scale[:, None]).T.contiguous(), scale[:, None] * basis
    return prior.mean.float(), chart.float(), back.float()
