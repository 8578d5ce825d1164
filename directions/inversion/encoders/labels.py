"""Labels of images by a network trained on some: IcGAN's second encoder, E_y.

Perarnau, van de Weijer, Raducanu, Álvarez 2016, "Invertible Conditional GANs for Image Editing",
arXiv:1611.06355: beside E_z, which finds codes of generated images (recipe `icgan`), E_y finds the
labels y of real ones, trained by the mean squared difference of labels; an edit changes y. Here
the labels are standardized, and what comes back is a classifier, which whatever takes one takes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from os import PathLike
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.classifiers.base import Attribute, Classifier
from directions.errors import LatdirError
from directions.fingerprints import fingerprint
from directions.generators.checks import check_seed
from directions.images import resize
from directions.inversion.checks import check_range
from directions.inversion.encoders.compact import LAST, CompactConfig, CompactEncoder
from directions.inversion.encoders.recipes import TrainingSchedule
from directions.inversion.encoders.running import Running
from directions.training import step_rng

__all__ = ["LabelEncoder", "LabelProgress", "train_label_encoder"]

# Of the images, one in so many is held out.
HELD_OUT = 8


class LabelProgress(NamedTuple):
    """Where a training stood.

    Attributes:
        step: Steps taken.
        explained: Share of the variance of held-out labels that is explained, over all labels.
    """

    step: int
    explained: float


class LabelEncoder(Classifier):
    """Images to labels.

    Args:
        network: Predicts labels as offsets from their mean.
        mean: `[k]`, of the labels.
        names: Of the labels.
        name: Short name, shown and stored.
        progress: What was measured on held-out images in training.
    """

    differentiable = True

    def __init__(
        self,
        network: CompactEncoder,
        mean: Float[Tensor, "k"],
        names: Sequence[str],
        *,
        name: str,
        progress: tuple[LabelProgress, ...] = (),
    ) -> None:
        self.network, self.mean = network.eval().requires_grad_(False), mean
        self.attributes = tuple(Attribute(n, "value", "label") for n in names)
        self.name, self.progress = name, progress

    @property
    def fingerprint(self) -> str:
        """sha256 over the weights, the mean and the names."""
        return fingerprint({**self.network.state_dict(), "mean": self.mean}, {"of": self.names})

    def __call__(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k"]:
        """Labels, differentiable."""
        seen = resize(images.float(), self.network.config.side).to(self.mean)
        labels: Tensor = self.mean + self.network(seen)
        return labels


class _Learner(Running):
    """What is trained, and what a step of it costs."""

    network: CompactEncoder
    kept: CompactEncoder

    def __init__(
        self, images: Tensor, labels: Tensor, schedule: TrainingSchedule, seed: int
    ) -> None:
        order = torch.randperm(len(images), generator=step_rng(seed, 0))
        held = max(2, len(images) // HELD_OUT)
        spread, mean = torch.std_mean(labels[order[held:]], 0)
        level = torch.std_mean(images)
        side = min(64, max(2 * LAST, 2 ** round(math.log2(images.shape[-1]))))
        count = round(math.log2(side / LAST))
        widths = tuple(min(schedule.most, schedule.width * 2**i) for i in range(count))
        config = CompactConfig(side, (labels.shape[1],), widths)
        axes = torch.diag(spread)
        network = CompactEncoder(
            config, axes, level=float(level[1]), contrast=max(float(level[0]), 1e-4)
        )
        super().__init__(network.to(images.device), steps=schedule.steps, figures=1)
        self.schedule, self.seed = schedule, seed
        # Not modules: they are no part of what is trained.
        self.held: dict[str, Tensor] = {
            "images": resize(images, side), "labels": labels, "mean": mean, "spread": spread,
            "tested": order[:held], "rows": order[held:],
        }  # fmt: skip

    def loss(self, step: int) -> Tensor:
        """The mean squared difference of standardized labels."""
        self.begin(step)
        rows, draw = self.held["rows"], step_rng(self.seed, step + 1)
        chosen = rows[torch.randint(len(rows), (self.schedule.batch_size,), generator=draw)]
        return self._error(self.network, chosen).mean()

    def _error(self, network: CompactEncoder, rows: Tensor) -> Tensor:
        wanted = self.held["labels"][rows] - self.held["mean"]
        made: Tensor = network(self.held["images"][rows])
        return ((made - wanted) / self.held["spread"]).square()

    def measured(self) -> tuple[float, ...]:
        """Share of the variance of held-out labels that is explained."""
        rows = self.held["tested"]
        own = (self.held["labels"][rows] - self.held["labels"][rows].mean(0)) / self.held["spread"]
        left = self._error(self.kept, rows).mean() / own.square().mean()
        return (1 - float(left),)

    @property
    def progress(self) -> tuple[LabelProgress, ...]:
        """What was measured so far."""
        return tuple(LabelProgress(int(step), *rest) for step, *rest in self.rows)

    @property
    def status(self) -> str:
        """The last that was measured, for the bar."""
        return f"{self.progress[-1].explained:.2f} explained" if self.progress else ""


@checked
def train_label_encoder(
    images: Float[Tensor, "n 3 h w"],
    labels: Float[Tensor, "n k"],
    *,
    names: Sequence[str],
    schedule: TrainingSchedule = TrainingSchedule(),
    checkpoint: str | PathLike[str] | None = None,
    name: str = "labels",
    seed: int = 0,
) -> LabelEncoder:
    """A classifier that finds the labels of images, learned from labeled ones (IcGAN's E_y).

    Args:
        images: `[n, 3, h, h]` in [-1, 1], at least 16; an eighth is held out.
        labels: `[n, k]`, of any units.
        names: Of the k labels.
        schedule: How long, in what steps, and how wide.
        checkpoint: File that keeps the run; a run that was killed goes on from it and ends
            with the same bits.
        name: Of the classifier.
        seed: Of weights, rows and what is held out.

    Returns:
        The classifier; `progress` says what it explains of the labels held out.

    Raises:
        LatdirError: Too few images, images that are not square or not in [-1, 1], a label that is
            the same for all, or a checkpoint of another run.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=4, nuisances=1, size=8)
        >>> codes = world.sample(32, seed=0)
        >>> made = train_label_encoder(
        ...     world.synthesize(codes), world.factors(codes), names=world.names,
        ...     schedule=TrainingSchedule(steps=2, batch_size=4, width=4),
        ... )
        >>> made(world.synthesize(codes[:3])).shape, made.names
        (torch.Size([3, 2]), ('factor_0', 'factor_1'))
    """
    check_seed(seed, 0, 0)
    check_range(images)
    known = [str(n) for n in names]
    if len(images) < 16 or images.shape[-1] != images.shape[-2]:
        raise LatdirError(f"images are 16 square ones at least, not {list(images.shape)}")
    if len(known) != labels.shape[1] or len(set(known)) < len(known):
        raise LatdirError(f"{labels.shape[1]} labels have a name each, not {known}")
    if not labels.isfinite().all() or bool((labels.std(0) == 0).any()):
        raise LatdirError("labels are finite, and each differs between images: leave others out")
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        learner = _Learner(images.detach().float(), labels.detach().float(), schedule, seed)
    record: dict[str, Any] = {"seed": seed, "names": known}
    record["images"] = fingerprint({"images": images, "labels": labels}, {})
    learner.run(record, checkpoint, title=f"label encoder of {', '.join(known)}")
    network = copy.deepcopy(learner.kept)
    return LabelEncoder(network, learner.held["mean"], known, name=name, progress=learner.progress)
