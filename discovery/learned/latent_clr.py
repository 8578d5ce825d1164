"""Moves whose changes of the image are alike for all codes and unlike those of the other moves.

E. K. Yüksel, E. Simsar, E. G. Er, P. Yanardag: LatentCLR, ICCV 2021, arXiv:2104.00820. Code i moves
by α along the unit vector dₖ(z): one vector (`global`), a matrix (`linear`) or a network
(`nonlinear`). Of the changes f = unit(h(z + α dₖ(z)) - h(z)) of features h, those of one direction
are alike and those of two unlike where

    - log (mean of exp(|f f'| / τ) over pairs of one direction / the same over pairs of two)

is small. The official code multiplies by its temperature 0.5 where the paper divides by τ, and
takes the cosine's absolute value, which is not in the paper; here it is divided by τ, and absolute.

Other differences: α is drawn anew each step, up to `reach` either way; features are those of the
image at 32 pixels unless a layer is named; directions stay of any length, since only their unit
vectors count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from directions.errors import LatdirError
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.paths.unit_step import Constant, UnitStepPath, folded, step_network
from directions.scoring.activations import layer_activations
from directions.training import Checkpoint, fit, step_rng
from discovery.learned.contrast import LEAST, Images, amounts, spread
from discovery.learned.mean_steps import Trained
from discovery.learned.path_methods import PathMethod

__all__ = ["LatentCLR", "Steps", "alike_loss"]

Form = Literal["global", "linear", "nonlinear"]
JUDGED = 256
DECAY, DEPTH = 1e-3, 3
# Shares of the steps after which the rate falls to a fifth.
FALLS = (0.1, 0.5)


class Steps(nn.Module):
    """Unit vectors of K directions at codes.

    Args:
        networks: One for each direction, from codes to codes.
    """

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, codes: Float[Tensor, "n d"]) -> Float[Tensor, "k n d"]:
        """The unit vectors of each direction."""
        return torch.stack([normalize(network(codes)) for network in self.networks])


def alike_loss(
    features: Float[Tensor, "k n f"], *, temperature: float, absolute: bool = True
) -> tuple[Float[Tensor, ""], Float[Tensor, "k n"]]:
    """The loss of unit features by direction, and of each row the log of its ratio.

    Args:
        features: Of K directions, n codes each.
        temperature: τ.
        absolute: Whether cosines are taken without their sign.

    Example:
        >>> x = torch.eye(2)[:, None].expand(2, 3, 2)
        >>> loss, ratios = alike_loss(x, temperature=1.0)
        >>> float(loss), bool((ratios > 0).all())
        (-1.0, True)
    """
    k, n, _ = features.shape
    flat = features.flatten(0, 1)
    cosines = flat @ flat.T
    weights = ((cosines.abs() if absolute else cosines) / temperature).exp()
    same = torch.arange(k, device=flat.device).repeat_interleave(n)
    same = same[:, None] == same
    own = same & ~torch.eye(k * n, dtype=torch.bool, device=flat.device)
    positive = (weights * own).sum(1) / (n - 1)
    negative = (weights * ~same).sum(1) / ((k - 1) * n)
    ratios = (positive / negative).log()
    return -ratios.mean(), ratios.reshape(k, n)


@dataclass(frozen=True)
class LatentCLR(PathMethod[UnitStepPath]):
    """Moves whose changes of the image are alike for all codes, and unlike each other's.

    `train` gives the paths themselves; `discover` their mean steps. Evidence: `accuracy` (share of
    held-out codes whose change is more like those of its own direction than of the others),
    `agreement` (mean cosine of the codes' own steps with the mean step) and `bend`, which is 0: a
    code moves along a line.

    Attributes:
        n_directions: Number K of directions.
        form: `global`, one vector a direction; `linear`, a matrix; `nonlinear`, a network.
        space: Latent space; by default `w` where there is one, otherwise the generator's own.
        layer: Layer whose activations are compared, an early one being cheap; by default the image.
        reach: Longest step α, in mean standard deviations of the codes' coordinates.
        temperature: τ, which cosines are divided by.
        steps: Steps of Adam.
        batch_size: Codes a step; all K directions move each.
        rate: Rate of Adam, which falls to a fifth after a tenth and again after half of the steps.
        precision: Arithmetic of the generator.

    Example:
        >>> from directions.generators import load_generator
        >>> LatentCLR(n_directions=2, steps=10).discover(load_generator("planted"))
        DirectionBank(planted: latent_clr_00, latent_clr_01)
    """

    n_directions: int = 20
    form: Form = "global"
    space: str | None = None
    layer: str | None = None
    reach: float = 3.0
    temperature: float = 0.5
    steps: int = 500
    batch_size: int = 6
    rate: float = 1e-2
    precision: Precision = "bfloat16"

    method: ClassVar[str] = "latent_clr"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("rate", "reach", "temperature")
        if min(self.n_directions, self.batch_size) < 2:
            raise LatdirError(
                f"n_directions is {self.n_directions} and batch_size {self.batch_size}: give at "
                "least 2 of each, for changes are compared between directions and between codes"
            )

    def _trained(
        self, generator: Generator, seed: int, checkpoint: str | PathLike[str] | None
    ) -> Trained[UnitStepPath]:
        space = self.space or generator.default_space("w")
        where, scale = generator.space(space), spread(generator, space)
        steps = self._networks(where.size, seed).to(generator.device)
        features = self._features(generator, space)
        n = self.batch_size

        def changes(codes: Tensor, rng: torch.Generator) -> Float[Tensor, "k n f"]:
            draw = 2 * torch.rand(1, generator=rng) - 1
            alpha = scale * float(amounts(draw, reach=self.reach, least=LEAST * self.reach))
            moved = codes.flatten(1) + alpha * steps(codes.flatten(1))
            with torch.no_grad():
                before = features(codes)
            after = features(moved.reshape(-1, *where.shape)).reshape(len(moved), *before.shape)
            return normalize(after - before, dim=2)

        def loss(step: int) -> Tensor:
            codes = generator.sample(n, seed=seed, start=JUDGED + step * n, space=space)
            features = changes(codes, step_rng(seed, step))
            return alike_loss(features, temperature=self.temperature)[0]

        adam = torch.optim.Adam(steps.parameters(), lr=self.rate, weight_decay=DECAY)
        fitted = fit(
            steps,
            loss,
            adam,
            steps=self.steps,
            checkpoint=Checkpoint(checkpoint, self.run(generator.fingerprint, seed)),
            schedule=_stepped,
            title=self.method,
        )
        held, told = generator.sample(JUDGED, seed=seed, space=space), []
        with torch.no_grad():
            for i, codes in enumerate(torch.split(held[: 8 * n], n)):
                rng = step_rng(seed, self.steps + i)
                ratios = alike_loss(changes(codes, rng), temperature=self.temperature)[1]
                told.append((ratios > 0).float())
            means = steps(held.flatten(1)).mean(1).cpu()
        accuracy, prior = torch.cat(told, 1).mean(1).cpu(), generator.prior(space)
        paths, order = {}, accuracy.argsort(descending=True, stable=True).tolist()
        for i, j in enumerate(order):
            name = f"{self.method}_{i:02d}"
            paths[name] = UnitStepPath(
                name,
                space,
                prior.sigma(means[j] / means[j].norm()),
                *folded(steps.networks[j]),
                generator.name,
                generator.fingerprint,
            )
        figures = [{"accuracy": float(accuracy[j])} for j in order]
        provenance = {"accuracy": float(accuracy.mean()), "steps": fitted.kept}
        return Trained(paths, held, figures, provenance)

    def _features(self, generator: Generator, space: str) -> Callable[[Tensor], Tensor]:
        """Unit features of codes: a layer's activations, or small images."""
        images = Images(generator, space, self.precision)
        run: Callable[[Tensor], Tensor] = images
        if self.layer is not None:
            run = layer_activations(generator, layer=self.layer, space=space, gradients=True)

        def features(codes: Tensor) -> Tensor:
            with images.arithmetic():
                found = run(codes)
            return normalize(found.float().flatten(1))

        return features

    def _networks(self, size: int, seed: int) -> Steps:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.form == "global":
                return Steps([Constant(torch.randn(size)) for _ in range(self.n_directions)])
            depth = 1 if self.form == "linear" else DEPTH
            return Steps([step_network(size, depth) for _ in range(self.n_directions)])


def _stepped(done: float) -> float:
    """The rate's factor."""
    return float(0.2 ** sum(done >= fall for fall in FALLS))
