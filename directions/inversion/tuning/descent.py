"""The loop of the ways that tune around codes that stay: Adam on changes of the weights."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from directions.errors import LatdirError, check_positive, real_number, whole_number
from directions.inversion.tuning.base import Changes, Solution, Task, Tuner

__all__ = ["Descent", "apart"]

# Of the steps, the last part in which the rate falls to nothing.
FALL = 0.3
# Steps over which the cost is averaged to tell the best.
MEMORY = 0.9


@dataclass(frozen=True)
class Descent(Tuner):
    """Weights tuned around codes that stay.

    Attributes:
        rank: Of the products.
        steps: Of Adam, at most.
        rate: Its learning rate, which falls to nothing in the last third of the steps.
        locality: Weight of the cost of other images.
        batch: Images a step, in turn; None for all.
        goal: PSNR in decibels at which all images are done; None for all steps.
        near: Squared distance of features at which they are; not looked at without features.
        falling: Whether the rate falls.
    """

    steps: int = 200
    rate: float = 2e-3
    locality: float = 1.0
    batch: int | None = None
    goal: float | None = None
    near: float | None = None
    falling: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.steps, "steps", least=1)
        if self.batch is not None:
            whole_number(self.batch, "batch", least=1)
        real_number(self.locality, "locality", least=0.0)
        if self.goal is not None:
            real_number(self.goal, "goal")
        if self.near is not None:
            real_number(self.near, "near", least=0.0)
        check_positive(self.rate, "rate")

    @property
    def longest(self) -> int:
        """Steps at most."""
        return self.steps

    @property
    def betas(self) -> tuple[float, float]:
        """Of Adam."""
        return 0.9, 0.999

    @abstractmethod
    def begin(self, task: Task) -> Changes:
        """Changes of nothing."""

    def held(self, task: Task, changes: Changes, pivots: Tensor, step: int) -> Tensor:
        """Codes of other images that a step renders too; by default none."""
        return pivots[:0]

    @abstractmethod
    def drift(self, task: Task, changes: Changes, made: Tensor, codes: Tensor) -> Tensor:
        """What other images cost: those `made` of the codes held, or a figure of the changes."""

    def settled(self, task: Task, changes: Changes) -> bool:
        """Whether other images are held well enough for a goal to count; by default they are."""
        return True

    def solve(self, task: Task) -> Solution:
        """As `Tuner.solve`."""
        codes, count = task.codes, len(task.observed)
        assert codes is not None
        changes = self.begin(task)
        groups = changes.groups(self.rate)
        adam = torch.optim.Adam(groups, lr=self.rate, betas=self.betas, fused=True)
        rates = [group["lr"] for group in adam.param_groups]
        average, best, kept = math.nan, math.inf, changes.free()
        errors, felt = torch.full((2, count), math.inf)
        share = min(self.batch or count, count)
        with torch.no_grad():
            wanted = task.described(task.observed)
        for step in range(self.steps + 1):
            rows = torch.arange(step * share, (step + 1) * share) % count
            batch = codes[rows]
            with torch.set_grad_enabled(step < self.steps):
                held = self.held(task, changes, batch, step) if self.locality else batch[:0]
                made = changes.tuned().synthesize(torch.cat([batch, held]), task.space)
                seen = task.degraded(made[:share])
                off = (seen - task.observed[rows]).square().flatten(1).mean(1)
                cost, errors[rows] = off.mean(), off.detach().cpu().float()
                if wanted is not None:
                    far = apart(task, seen, wanted[rows])
                    cost, felt[rows] = cost + far.mean(), far.detach().cpu().float()
                if self.locality:
                    cost = cost + self.locality * self.drift(task, changes, made[share:], held)
            value = float(cost.detach())
            if not math.isfinite(value):
                raise LatdirError(
                    f"tuning diverged at step {step}: lower the rate, such as "
                    f"{type(self).__name__}(rate={self.rate / 4:g})"
                )
            average = value if math.isnan(average) else MEMORY * average + (1 - MEMORY) * value
            if self._done(errors, felt):
                if self.settled(task, changes):
                    # Before the step, as the paper.
                    return Solution(changes.kept(), codes, step)
                # Others join the cost, which is another from here on.
                average, best = value, math.inf
            if average < best:
                best, kept = average, [part.detach().clone() for part in changes.free()]
            if step == self.steps:
                break
            left = (self.steps - step) / (FALL * self.steps) if self.falling else 1.0
            for group, rate in zip(adam.param_groups, rates, strict=True):
                group["lr"] = rate * min(1.0, left)
            adam.zero_grad()
            cost.backward()  # type: ignore[no-untyped-call]
            adam.step()
            task.bar.update()
        with torch.no_grad():
            for part, found in zip(changes.free(), kept, strict=True):
                part.copy_(found)
        return Solution(changes.kept(), codes, self.steps)

    def _done(self, errors: Tensor, felt: Tensor) -> bool:
        """Whether every image reaches the goal or is near enough."""
        if self.goal is not None and float(-10 * torch.log10(errors.max() / 4)) >= self.goal:
            return True
        return self.near is not None and float(felt.max()) <= self.near


def apart(task: Task, images: Tensor, wanted: Tensor) -> Tensor:
    """Squared distance of features, of each image."""
    found = task.described(images)
    assert found is not None
    return (found - wanted).square().sum(1)
