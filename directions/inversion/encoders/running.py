"""What trainings over a generator's own samples share: images checked, the run named, the loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.inversion.checks import check_features, check_finite, check_observed, identified
from directions.inversion.encoders.critics import Critic
from directions.inversion.encoders.recipes import TrainingSchedule
from directions.scoring.features import Features
from directions.training import Averaged, Checkpoint, falling, fit

__all__ = ["Running", "checked_inputs"]

# Gradients are a third of it; far from the prior a generator's images, and they, have no bound.
LONGEST = 1.0


class Running(Averaged):
    """A network in training by a schedule, on what its `loss` draws of the generator."""

    schedule: TrainingSchedule
    # Rate of the critics as a share of the network's; e4e's.
    critic_rate = 0.2

    @property
    def critics(self) -> Sequence[Critic]:
        """Those that are trained with the network; by default none."""
        return ()

    def loss(self, step: int) -> Tensor:
        """Of a step by number; it begins with `begin`."""
        raise NotImplementedError

    @property
    def status(self) -> str:
        """The last that was measured, for the bar."""
        raise NotImplementedError

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Weights with their rates."""
        made = [{"params": list(self.network.parameters()), "lr": rate}]
        learned = [p for critic in self.critics for p in critic.parameters()]
        return made + ([{"params": learned, "lr": self.critic_rate * rate}] if learned else [])

    def run(
        self, record: dict[str, Any], checkpoint: str | PathLike[str] | None, *, title: str
    ) -> None:
        """Train by the schedule, from the checkpoint on where there is one.

        Raises:
            LatdirError: A checkpoint of another run, by its schedule and record.
        """
        schedule = self.schedule
        went = fit(
            self,
            self.loss,
            torch.optim.Adam(self.groups(schedule.rate), betas=(0.9, 0.99)),
            steps=schedule.steps,
            checkpoint=Checkpoint(checkpoint, asdict(schedule) | record),
            schedule=falling,
            longest=LONGEST,
            title=title,
            status=lambda: self.status,
        )
        self.end(went.kept)


def checked_inputs(
    generator: Generator, images: Float[Tensor, "n 3 h w"] | None, features: Features | None
) -> tuple[Tensor | None, dict[str, Any]]:
    """Real images on the generator's device, if any, and what a run's record says of its inputs.

    Raises:
        LatdirError: Images of another size or range or not finite, or features that are no vectors.
    """
    shape, device, known = generator.image_shape, generator.device, None
    if features is not None:
        check_features(features, torch.zeros(2, *shape, device=device))
        known = identified(features, shape, device)
    real = None if images is None else check_finite(check_observed(generator, images, None))
    return real, {
        "generator": generator.fingerprint,
        "features": known,
        "images": None if real is None else fingerprint({"images": real}, {}),
    }
