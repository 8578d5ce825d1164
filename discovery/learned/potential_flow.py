"""Flows along gradients of potentials that change with time, trained to be told apart.

Y. Song, T. A. Keller, N. Sebe & M. Welling: Latent Traversals in Generative Models as Potential
Flows, ICML 2023, arXiv:2304.12944. Code x flows by dx/dt = ∇u_k(x, t) from t = 0 on, and the
potentials are trained as in `contrast.py`, with

    + λ mean (u_tt / c² - ∇²u)² / mean ‖∇u‖²,

so that u nearly solves the wave equation, its waves being as fast (c) as a code can be; u(·, 0) = 0
by its form, so that codes start at rest.

Differences from the official code: rest at first is exact, where that code asks for it by a loss;
the Laplacian is one, where it sums the rows of the Hessian; the network sees the images at both
ends of a path, where it sees those of two successive steps of the same time for the whole batch;
the residual is compared with the gradient, since u = 0 solves any linear equation, where that code
rewards -‖J_G ∇u‖², which has no bound; and no code moves faster than 1, so that an amount is the
longest distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from directions.generators.base import Generator
from directions.paths.potential import Potential, PotentialPath, follow_potential
from discovery.learned.contrast import ContrastMethod, Mover, spread
from discovery.learned.mean_steps import Trained
from discovery.learned.path_methods import PathMethod

__all__ = ["PotentialFlow"]

JUDGED = 256
# Sinusoids of time, and steps of the midpoint rule in training, as shares of the reach.
PACES, STRIDE = 2, 0.34
TINY = 1e-12


class Potentials(Mover):
    """Flows of K potentials.

    Args:
        start: Potentials before training, each tensor with a first axis of K.
        mean: `[d]`, of the codes.
        scale: Latent units to one of x.
        reach: Amount that takes a time of 1.
        weight: λ.
    """

    mean: Tensor

    def __init__(
        self, start: Potential, mean: Tensor, scale: float, reach: float, weight: float
    ) -> None:
        super().__init__()
        self.tensors = nn.ParameterList(start)
        self.register_buffer("mean", mean)
        self.scale, self.reach, self.weight = scale, reach, weight

    def of(self, index: Tensor | int) -> Potential:
        """The potentials of some moves."""
        return Potential(*(t[index] for t in self.tensors))

    def forward(self, codes: Tensor, index: Tensor, amount: Tensor) -> Tensor:
        """As `Mover.forward`."""
        x, by = (codes - self.mean) / self.scale, amount / self.scale
        stride = STRIDE * self.reach
        new = follow_potential(self.of(index), x, by, reach=self.reach, stride=stride)
        return codes + self.scale * (new - x)

    def penalty(self, codes: Tensor, index: Tensor, amount: Tensor) -> Tensor:
        """λ mean (u_tt / c² - ∇²u)² / mean ‖∇u‖² at the paths' ends."""
        end = (self(codes, index, amount).detach() - self.mean) / self.scale
        time = amount.abs() / (self.scale * self.reach)
        u = self.of(index)
        pull = u.gradient(end, time).square().sum(1).mean()
        return self.weight * u.wave(end, time, self.reach).square().mean() / pull.clamp_min(TINY)


@dataclass(frozen=True)
class PotentialFlow(PathMethod[PotentialPath], ContrastMethod):
    """Flows along gradients that change with time; its other settings: those of `ContrastMethod`.

    `train` gives the paths themselves; `discover` their mean steps as straight directions.
    Evidence: `accuracy` and `amount_error` of the reconstructor on held-out codes, `agreement`
    (mean cosine of the codes' own steps with the mean step), `bend` (1 - mean cosine of a code's
    steps from -1 to 0 and from 0 to 1 sigma), `turn` (the same of its first and second half of the
    reach) and `residual` (root mean square of u_tt - ∇²u over the mean length of ∇u, at the end).

    Attributes:
        reach: Longest move, in mean standard deviations of the codes' coordinates.
        hidden: Units of each potential's hidden layer.
        physics: λ, weight of the wave equation.

    Example:
        >>> from directions.generators import load_generator
        >>> found = PotentialFlow(n_directions=2, hidden=4, steps=20, n_codes=64, batch_size=8)
        >>> found.discover(load_generator("planted"))
        DirectionBank(planted: potential_flow_00, potential_flow_01)
    """

    reach: float = 6.0
    hidden: int = 32
    physics: float = 1e-2

    method: ClassVar[str] = "potential_flow"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_least(1, "hidden")
        self._check_least(0, "physics")

    def _trained(
        self, generator: Generator, seed: int, checkpoint: str | PathLike[str] | None
    ) -> Trained[PotentialPath]:
        space, found = self._contrasted(generator, seed, checkpoint)
        mover, prior = found.mover, generator.prior(space)
        assert isinstance(mover, Potentials)
        codes = generator.sample(JUDGED, seed=seed, start=self.n_codes, space=space)
        flat, paths, figures = codes.flatten(1), {}, []
        for (name, j), known in zip(found.order(self.method), found.figures, strict=True):
            index = torch.full((len(flat),), j, device=flat.device)
            end = mover.scale * self.reach * torch.ones_like(flat[:, 0])
            with torch.no_grad():
                half, whole = (mover(flat, index, part) - flat for part in (end / 2, end))
                figures.append({**known, **_figures(mover, flat, index, half, whole)})
            mean = whole.mean(0).cpu()
            paths[name] = PotentialPath(
                name,
                space,
                prior.sigma(mean / mean.norm()),
                mover.scale,
                self.reach,
                float(whole.norm(dim=1).mean()),
                mover.mean.cpu(),
                Potential(*(t.detach().cpu().contiguous() for t in mover.of(j))),
                generator.name,
                generator.fingerprint,
            )
        return Trained(paths, codes, figures, found.provenance)

    def _mover(self, generator: Generator, space: str, seed: int) -> Mover:
        d, k, h = generator.space(space).size, self.n_directions, self.hidden
        rng = torch.Generator().manual_seed(seed % 2**63)
        start = Potential(
            torch.randn(k, h, d, generator=rng) / d**0.5,
            torch.zeros(k, h),
            self.reach / 2 * torch.randn(k, h, PACES, generator=rng) / PACES,
            torch.randn(k, h, generator=rng) * (4 / h) ** 0.5,
        )
        mean, scale = generator.prior(space).mean.float(), spread(generator, space)
        return Potentials(start, mean, scale, self.reach, self.physics)


def _figures(
    mover: Potentials, flat: Tensor, index: Tensor, half: Tensor, whole: Tensor
) -> dict[str, float]:
    """How far the flows are from straight lines, and from waves."""
    u, one = mover.of(index), torch.ones_like(flat[:, 0])
    end = (flat + whole - mover.mean) / mover.scale
    speed = u.gradient(end, one).norm(dim=1).mean()
    return {
        "turn": float(1 - cosine_similarity(half, whole - half).mean()),
        "residual": float(u.wave(end, one, mover.reach).square().mean().sqrt() / speed),
    }
