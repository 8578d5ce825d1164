"""Progressive tuning: code and weights together, from the layers next to the code to all of them.

Pan, Zhan, Dai, Lin, Loy, Luo 2020, "Exploiting Deep Generative Prior for Versatile Image
Restoration and Manipulation" (DGP), arXiv:2003.13659. Of 500 codes near the mean the best is
taken; then Adam (0, 0.999) moves it and the weights in stages, each with its rates, of which the
first lets few blocks move and the last nearly all. The cost is the mean absolute difference of a
discriminator's features, a squared error, and 0.02 · mean z² / 2, all of images degraded as those
given: a hole is filled, detail or color found. `Progressive.original` has the official scripts'
stages of each task.

A discriminator is any function to its blocks' activations, `network_features(blocks,
distance="absolute")`; without one, features of a network that is at hand, such as
`face_features()`, take its place with `distance="squared"`, as VGG16's do in the official code,
and without either pixels alone. All features of a stage count alike, also to choose the code; the
official code takes the last three there. The best weights of the last stage by their averaged
cost are returned instead of the last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_fields
from directions.errors import LatdirError, known_name, real_number, whole_number
from directions.inversion.tuning.base import Form, Solution, Task, Tuner, Weights
from directions.inversion.typicality import Typicality

__all__ = ["Progressive", "TuningStage"]

BETAS = (0.0, 0.999)
# Steps over which the cost is averaged to tell the best.
MEMORY = 0.9
BATCH = 32


@checked_fields
@dataclass(frozen=True)
class TuningStage:
    """A part of the steps.

    Attributes:
        steps: Of Adam.
        blocks: Of the generator, counted from the code, whose weights move.
        rate: Of the weights.
        code_rate: Of the code.
        fall: Factor of the rate from each block to the next.
        features: Weight of the features' distance.
        pixels: Of the mean squared difference of pixels.
    """

    steps: int = 200
    blocks: int = 7
    rate: float = 5e-5
    code_rate: float = 2e-3
    fall: float = 1.0
    features: float = 1.0
    pixels: float = 1.0

    def __post_init__(self) -> None:
        whole_number(self.steps, "steps", least=1)
        whole_number(self.blocks, "blocks", least=0)
        for name in ("rate", "code_rate", "fall", "features", "pixels"):
            real_number(getattr(self, name), name, least=0.0)


# Of the official scripts: each task's stages, and the spread of the first codes.
TASKS = {
    "detail": (
        (
            TuningStage(200, 2, 5e-5, 2e-3),
            TuningStage(200, 3, 5e-5, 1e-3),
            TuningStage(200, 4, 2e-5, 2e-5),
            TuningStage(200, 5, 1e-5, 1e-5),
            TuningStage(200, 7, 1e-5, 1e-5),
        ),
        0.3,
    ),
    "hole": (
        (
            TuningStage(200, 7, 5e-5, 2e-3),
            TuningStage(200, 7, 5e-5, 1e-3),
            TuningStage(200, 7, 2e-5, 2e-5),
            TuningStage(200, 7, 2e-5, 2e-5),
            TuningStage(200, 7, 1e-5, 1e-5, features=0.5, pixels=10.0),
        ),
        0.3,
    ),
    "color": (
        (
            TuningStage(200, 2, 5e-5, 2e-3, 0.7, pixels=0.0),
            TuningStage(200, 3, 5e-5, 1e-3, 0.7, pixels=0.0),
            TuningStage(300, 4, 5e-5, 5e-4, 0.8, pixels=0.0),
            TuningStage(400, 5, 5e-5, 5e-5, 0.9, pixels=0.0),
            TuningStage(300, 6, 2e-5, 2e-5, 1.0, pixels=0.0),
        ),
        0.5,
    ),
}


@checked_fields
@dataclass(frozen=True)
class Progressive(Tuner):
    """Codes and weights tuned together, in stages.

    Attributes:
        form: As of `Pivotal`.
        rank: Of products, where the form has them.
        stages: One after another.
        distance: Of features: `absolute`, the sum of their absolute differences, or `squared`.
        prior: Weight of half the mean square of the code's standardized coordinates.
        candidates: Codes of which the best is the first, where none is given.
        spread: ψ of these.
    """

    form: Form = "all"
    stages: tuple[TuningStage, ...] = TASKS["detail"][0]
    distance: Literal["absolute", "squared"] = "absolute"
    prior: float = 0.02
    candidates: int = 500
    spread: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.stages:
            raise LatdirError("there are no stages: give at least one, such as (TuningStage(),)")
        real_number(self.prior, "prior", least=0.0)
        real_number(self.spread, "spread", least=0.0)
        whole_number(self.candidates, "candidates", least=1)

    @property
    def longest(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @classmethod
    def original(cls, task: str = "detail", **settings: Any) -> Progressive:
        """The official scripts' stages.

        Args:
            task: `detail` (of an image made smaller), `hole` or `color`. Features of images with a
                hole need images: `Degraded(lambda images: images * visible)` instead of `Mask`.
            settings: Others of one's own.

        Raises:
            LatdirError: No such task.

        Example:
            >>> [stage.blocks for stage in Progressive.original("color").stages]
            [2, 3, 4, 5, 6]
        """
        stages, spread = TASKS[known_name(task, TASKS, "task", others="stages of your own")]
        return cls(**{"stages": stages, "spread": spread, **settings})

    def first(self, task: Task) -> Float[Tensor, "n ..."]:
        """Of each image the candidate whose features, or pixels, are nearest."""
        codes = task.generator.sample(
            self.candidates, seed=task.seed, space=task.space, truncation=self.spread
        )
        with torch.no_grad():
            wanted = _numbers(task, task.observed)
            apart = [
                self._apart(_numbers(task, _seen(task, part))[None] - wanted[:, None])
                for part in torch.split(codes, BATCH)
            ]
        return codes[torch.cat(apart, 1).argmin(1)]

    def solve(self, task: Task) -> Solution:
        """As `Tuner.solve`."""
        assert task.codes is not None
        generator, weights = (
            task.generator,
            Weights(task.generator, self.form, self.rank, task.seed),
        )
        blocks: dict[int, list[str]] = {}
        for key in weights.changes:
            blocks.setdefault(generator.block_of(key), []).append(key)
        groups = [{"params": weights.free(blocks[k]), "lr": 0.0} for k in sorted(blocks)]
        code = task.codes.clone().requires_grad_()
        both = [torch.optim.Adam(groups, betas=BETAS), torch.optim.Adam([code], betas=BETAS)]
        near = Typicality.of(generator, task.space)
        with torch.no_grad():
            wanted = task.described(task.observed)
        average, best = math.nan, math.inf
        kept, found = weights.kept(), task.codes
        plan = [k for k, stage in enumerate(self.stages) for _ in range(stage.steps)]
        for i in range(len(plan) + 1):
            k = plan[min(i, len(plan) - 1)]
            stage = self.stages[k]
            self._set_rates(both, stage)
            with torch.set_grad_enabled(i < len(plan)):
                seen = task.degraded(weights.tuned().synthesize(code, task.space))
                cost = stage.pixels * (seen - task.observed).square().mean()
                if wanted is not None:
                    apart = self._apart(_numbers(task, seen) - wanted).mean()
                    cost = cost + stage.features * apart
                # −log p(z) up to a constant.
                cost = cost + self.prior * near.standardized(code).square().mean() / 2
            value = float(cost.detach())
            if not math.isfinite(value):
                raise LatdirError(f"tuning diverged at step {i}: lower the rates of stage {k}")
            if k == len(self.stages) - 1:
                average = value if math.isnan(average) else MEMORY * average + (1 - MEMORY) * value
                if average < best:
                    best, kept, found = average, weights.kept(), code.detach().clone()
            if i < len(plan):
                for adam in both:
                    adam.zero_grad()
                cost.backward()  # type: ignore[no-untyped-call]
                for adam in both:
                    adam.step()
                task.bar.update()
        return Solution(kept, found, len(plan))

    def _set_rates(self, both: list[torch.optim.Adam], stage: TuningStage) -> None:
        for number, group in enumerate(both[0].param_groups):
            group["lr"] = stage.rate * stage.fall**number if number < stage.blocks else 0.0
        both[1].param_groups[0]["lr"] = stage.code_rate

    def _apart(self, difference: Float[Tensor, "*n f"]) -> Float[Tensor, "*n"]:
        found = difference.abs() if self.distance == "absolute" else difference.square()
        return found.sum(-1)


def _seen(task: Task, codes: Tensor) -> Tensor:
    return task.degraded(task.generator.synthesize(codes, task.space))


def _numbers(task: Task, observed: Tensor) -> Float[Tensor, "n f"]:
    """Features, or pixels where there are none."""
    found = task.described(observed)
    return observed.flatten(1) if found is None else found
