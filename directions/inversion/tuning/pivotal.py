"""Pivotal tuning: a generator's weights changed so that chosen codes make given images.

Roich et al. 2021, "Pivotal Tuning for Latent-based Editing of Real Images", arXiv:2106.05744. The
paper tunes all weights by Adam at 3e-4 for up to 350 steps, on squared error and LPIPS, and stops
once LPIPS is at most 0.06: `Pivotal.original`. Its locality term holds codes 30 from the pivot,
which the official code turns off by default, here `original(local=True)`; there it is without
noise, here with the generator's own. The default here changes the convolutions by matrices of low
rank, which takes a tenth of the numbers and leaves other images alone far better, and holds images
of the prior's codes. The best weights by their averaged cost are returned instead of the last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from directions.arguments import checked_fields
from directions.errors import LatdirError, real_number, whole_number
from directions.inversion.tuning.base import Solution, Task, Tuner, Weights, check_positive

__all__ = ["Pivotal"]

# Of the steps, the last part in which the rate falls to nothing.
FALL = 0.3
# Steps over which the cost is averaged to tell the best.
MEMORY = 0.9


@checked_fields
@dataclass(frozen=True)
class Pivotal(Tuner):
    """Weights tuned around codes that stay.

    Attributes:
        form: `low_rank`: a product of two matrices is added to each convolution; `channel`: each
            pair of channels is scaled, as HyperStyle does; `full`: every number of the
            convolutions may change; `all`: styles, biases and constants too.
        rank: Of the products.
        steps: Of Adam, at most.
        rate: Its learning rate, which falls to nothing in the last third of the steps.
        locality: Weight of the cost of other images, whose targets are the frozen generator's.
        others: Codes of the prior, fresh at each step, whose images these are.
        truncation: ψ of these codes.
        away: Distance from the pivots, over the layers of w+, to which these codes are moved
            along their line to a pivot; None where they stay.
        batch: Images a step, in turn; None for all.
        goal: PSNR in decibels at which all images are done; None for all steps.
        near: Squared distance of features at which they are; not looked at without features.
        falling: Whether the rate falls.
    """

    steps: int = 200
    rate: float = 2e-3
    locality: float = 1.0
    others: int = 4
    truncation: float = 1.0
    away: float | None = None
    batch: int | None = None
    goal: float | None = None
    near: float | None = None
    falling: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.steps, "steps", least=1)
        whole_number(self.others, "others", least=1)
        if self.batch is not None:
            whole_number(self.batch, "batch", least=1)
        real_number(self.locality, "locality", least=0.0)
        real_number(self.truncation, "truncation")
        if self.goal is not None:
            real_number(self.goal, "goal")
        if self.near is not None:
            real_number(self.near, "near", least=0.0)
        if self.away is not None:
            check_positive(self.away, "away")
        check_positive(self.rate, "rate")

    @property
    def longest(self) -> int:
        """Steps at most."""
        return self.steps

    @classmethod
    def original(cls, *, local: bool = False, **settings: Any) -> Pivotal:
        """The paper's: every number, Adam at 3e-4, 350 steps, until LPIPS is 0.06.

        Several images take turns in the original, `batch=1`, with 350 steps each.

        Args:
            local: Whether one code of ψ 0.5 is held, 30 from the pivot, with weight 0.1.
            settings: Others of one's own.

        Example:
            >>> Pivotal.original(goal=35.0).rate, Pivotal.original(local=True).away
            (0.0003, 30.0)
        """
        given = {"form": "all", "steps": 350, "rate": 3e-4, "near": 0.06, "falling": False}
        held = {"locality": 0.1, "others": 1, "truncation": 0.5, "away": 30.0}
        return cls(**{**given, **(held if local else {"locality": 0.0}), **settings})

    def solve(self, task: Task) -> Solution:
        """As `Tuner.solve`."""
        codes, count = task.codes, len(task.observed)
        assert codes is not None
        weights = Weights(task.generator, self, task.seed)
        adam = torch.optim.Adam(weights.free(), lr=self.rate)
        frozen = task.generator.inference(space=task.space)
        average, best, kept = math.nan, math.inf, weights.kept()
        errors, felt = torch.full((2, count), math.inf)
        share = min(self.batch or count, count)
        with torch.no_grad():
            wanted = task.described(task.observed)
        for step in range(self.steps + 1):
            rows = torch.arange(step * share, (step + 1) * share) % count
            batch = codes[rows]
            with torch.set_grad_enabled(step < self.steps):
                tuned = weights.tuned()
                held = self._held(task, batch, step) if self.locality else batch[:0]
                made = tuned.synthesize(torch.cat([batch, held]), task.space)
                seen = task.degraded(made[:share])
                off = (seen - task.observed[rows]).square().flatten(1).mean(1)
                cost, errors[rows] = off.mean(), off.detach().cpu().float()
                if wanted is not None:
                    apart = _apart(task, seen, wanted[rows])
                    cost, felt[rows] = cost + apart.mean(), apart.detach().cpu().float()
                if self.locality:
                    cost = cost + self.locality * _drift(task, made[share:], frozen(held))
            value = float(cost.detach())
            if not math.isfinite(value):
                raise LatdirError(
                    f"tuning diverged at step {step}: lower the rate, such as "
                    f"{type(self).__name__}(rate={self.rate / 4:g})"
                )
            average = value if math.isnan(average) else MEMORY * average + (1 - MEMORY) * value
            if average < best:
                best, kept = average, weights.kept()
            if self._done(errors, felt):
                # Before the step, as the paper.
                return Solution(weights.kept(), codes, step)
            if step == self.steps:
                break
            if self.falling:
                left = (self.steps - step) / (FALL * self.steps)
                adam.param_groups[0]["lr"] = self.rate * min(1.0, left)
            adam.zero_grad()
            cost.backward()  # type: ignore[no-untyped-call]
            adam.step()
            task.bar.update()
        return Solution(kept, codes, self.steps)

    def _done(self, errors: Tensor, felt: Tensor) -> bool:
        """Whether every image reaches the goal or is near enough."""
        if self.goal is not None and float(-10 * torch.log10(errors.max() / 4)) >= self.goal:
            return True
        return self.near is not None and float(felt.max()) <= self.near

    def _held(self, task: Task, pivots: Tensor, step: int) -> Tensor:
        """Codes whose images are held: of the prior, or w* + α (w − w*) / |w − w*|."""
        generator, space = task.generator, task.space
        drawn = generator.sample(
            self.others, seed=task.seed, start=step * self.others, space=space,
            truncation=self.truncation,
        ).to(pivots)  # fmt: skip
        if self.away is None:
            return drawn
        # A code of w is one of all layers: its distance is that of w+.
        whole = f"{space}+"
        layers = generator.space(whole).shape[0] if whole in generator.spaces else 1
        center = pivots[torch.arange(self.others) % len(pivots)]
        line = drawn - center
        length = line.flatten(1).norm(dim=1) * math.sqrt(layers)
        held: Tensor = center + self.away * line / length.reshape(-1, *[1] * (line.ndim - 1))
        return held


def _apart(task: Task, images: Tensor, wanted: Tensor) -> Tensor:
    """Squared distance of features, of each image."""
    found = task.described(images)
    assert found is not None
    return (found - wanted).square().sum(1)


def _drift(task: Task, made: Tensor, truth: Tensor) -> Tensor:
    """What other images cost: as the images tuned to, undegraded."""
    cost = (made - truth).square().mean()
    if task.features is None:
        return cost
    with torch.no_grad():
        wanted = task.features(truth)
    return cost + _apart(task, made, wanted).mean()
