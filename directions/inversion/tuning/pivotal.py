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
from directions.errors import check_positive, real_number, whole_number
from directions.inversion.tuning.base import Changes, Form, Task, Weights
from directions.inversion.tuning.descent import Descent, apart

__all__ = ["Pivotal"]


@checked_fields
@dataclass(frozen=True)
class Pivotal(Descent):
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

    form: Form = "low_rank"
    others: int = 4
    truncation: float = 1.0
    away: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.others, "others", least=1)
        real_number(self.truncation, "truncation")
        if self.away is not None:
            check_positive(self.away, "away")

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

    def begin(self, task: Task) -> Weights:
        """As `Descent.begin`."""
        return Weights(task.generator, self.form, self.rank, task.seed)

    def held(self, task: Task, changes: Changes, pivots: Tensor, step: int) -> Tensor:
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

    def drift(self, task: Task, changes: Changes, made: Tensor, codes: Tensor) -> Tensor:
        """What other images cost: as the images tuned to, undegraded."""
        truth = task.base(codes)
        cost = (made - truth).square().mean()
        if task.features is None:
            return cost
        with torch.no_grad():
            wanted = task.features(truth)
        return cost + apart(task, made, wanted).mean()
