"""Methods that train curved paths: `train` gives the paths, `discover` their mean steps as a bank.

What is trained differs: networks on labeled codes (`LabelPathMethod`), or moves of a generator's
codes without labels (`PathMethod`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, Generic

import torch
from jaxtyping import Float
from torch import Tensor, nn

from directions.bank import DirectionBank
from directions.errors import LatdirError
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.progress import progress_bars
from directions.training import Checkpoint, Fit, falling, fit, step_rng
from discovery.base import LabelMethod, TrainingMethod
from discovery.estimators.held_out import spearman
from discovery.learned.mean_steps import P, Trained, mean_directions
from discovery.sampling.samples import Samples
from discovery.supervised.labels import Scale, bank_of

__all__ = [
    "LabelPathMethod",
    "PathMethod",
    "held_out_figures",
    "split",
    "wanted",
]

LONGEST_GRADIENT = 5.0


@dataclass(frozen=True)
class PathMethod(TrainingMethod, Generic[P]):
    """Methods that train paths on a generator's images, without labels."""

    def train(
        self,
        generator: Generator,
        *,
        seed: int = 0,
        checkpoint: str | PathLike[str] | None = None,
    ) -> dict[str, P]:
        """The paths by name, those told best first; each can be saved by itself.

        Args:
            generator: As for `discover`.
            seed: As for `discover`.
            checkpoint: As for `discover`.

        Raises:
            LatdirError: As `discover`.
        """
        with progress_bars(self.progress):
            return self._trained(generator, seed, checkpoint).paths

    def discover(
        self,
        generator: Generator,
        *,
        seed: int = 0,
        checkpoint: str | PathLike[str] | None = None,
    ) -> DirectionBank:
        """The mean steps of the paths from -1 to 1 sigma.

        Args:
            generator: As for the family.
            seed: As for the family.
            checkpoint: As for the family.

        Raises:
            LatdirError: An unknown space or layer, more directions than its codes have dimensions
                where the method needs as many, images that do not depend on codes differentiably,
                or a checkpoint of another run.
        """
        found = self._trained(generator, seed, checkpoint)
        space = next(iter(found.paths.values())).space
        made = mean_directions(
            found, sigma=generator.prior(space).sigma, method=self.method, config=self.config
        )
        return DirectionBank.of(generator, made, {"seed": seed, **found.provenance})

    @abstractmethod
    def _trained(
        self, generator: Generator, seed: int, checkpoint: str | PathLike[str] | None
    ) -> Trained[P]:
        """The paths, those told best first."""


@dataclass(frozen=True)
class LabelPathMethod(LabelMethod, Generic[P]):
    """Methods that train paths on labeled codes, one for each attribute.

    Attributes:
        scale: Scale of the labels: normal quantiles of the ranks, log-odds, or raw scores.
        steps: Steps of Adam.
        batch_size: Codes a step.
        rate: Its highest rate; it falls to zero.
        decay: Weight decay.
        hidden: Units of each hidden layer.
        validation: Share of the samples held out.
        precision: Arithmetic of the networks while they train.
    """

    scale: Scale = "rank"
    steps: int = 800
    batch_size: int = 512
    rate: float = 2e-3
    decay: float = 0.1
    hidden: int = 64
    validation: float = 0.1
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.validation < 1:
            raise LatdirError(f"validation is a fraction between 0 and 1, not {self.validation}")
        self._check_positive("rate")
        self._check_least(0, "decay")
        self._check_least(1, "hidden")

    def train(
        self,
        samples: Samples,
        *,
        attributes: Sequence[str] | None = None,
        seed: int = 0,
        checkpoint: str | PathLike[str] | None = None,
    ) -> dict[str, P]:
        """One path for each attribute; all share what is trained.

        Args:
            samples: Codes of any shape with their scores.
            attributes: Names of those that change, and hold while another changes; by default all.
            seed: Of the split, the first weights and the batches.
            checkpoint: A file that keeps the training, to go on where it was killed.

        Returns:
            Paths by attribute, each of which can be saved by itself.

        Raises:
            LatdirError: As `discover`, or a checkpoint of another run.
        """
        with progress_bars(self.progress):
            return self._trained(samples, wanted(samples, attributes), seed, checkpoint).paths

    def discover(
        self, samples: Samples, *, attributes: Sequence[str] | None = None, seed: int = 0
    ) -> DirectionBank:
        """The mean steps of the paths from -1 to 1 sigma, one for each attribute.

        Args:
            samples: As for `train`.
            attributes: As for `train`.
            seed: As for `train`; written into each direction's config.

        Raises:
            LatdirError: Unknown, constant or collinear attributes, attributes that codes do not
                tell, more attributes than codes have room for, or too few samples.
        """
        found = self._trained(samples, wanted(samples, attributes), seed, None)
        codes = found.codes.reshape(-1, *samples.codes.shape[1:])
        made = mean_directions(
            replace(found, codes=codes),
            sigma=samples.population.sigma,
            method=self.method,
            config={**self.config, "seed": seed},
        )
        return bank_of(samples, made)

    @abstractmethod
    def _trained(
        self,
        samples: Samples,
        names: Sequence[str],
        seed: int,
        checkpoint: str | PathLike[str] | None,
    ) -> Trained[P]:
        """The paths in the order of the names."""

    def _fit(
        self,
        learned: nn.Module,
        loss: Callable[[Tensor], Tensor],
        rows: Tensor,
        run: Checkpoint,
        *,
        seed: int,
        judged: Callable[[], float] | None = None,
    ) -> Fit:
        """Minimize the loss of random rows of those given."""

        def drawn(step: int) -> Tensor:
            draw = torch.randint(len(rows), (self.batch_size,), generator=step_rng(seed, step))
            fast = self.precision == "bfloat16"
            with torch.autocast(rows.device.type, torch.bfloat16, enabled=fast):
                return loss(rows[draw.to(rows)])

        return fit(
            learned,
            drawn,
            torch.optim.AdamW(learned.parameters(), lr=self.rate, weight_decay=self.decay),
            steps=self.steps,
            checkpoint=run,
            schedule=falling,
            longest=LONGEST_GRADIENT,
            judged=judged,
            title=self.method,
        )

    def _kept(
        self,
        samples: Samples,
        names: Sequence[str],
        seed: int,
        path: str | PathLike[str] | None,
    ) -> Checkpoint:
        run = self.run(samples.fingerprint, seed)
        return Checkpoint(path, {**run, "attributes": list(names), "rows": len(samples)})


def wanted(samples: Samples, attributes: Sequence[str] | None) -> list[str]:
    """The attributes named, or all.

    Args:
        samples: Labeled codes.
        attributes: Names.

    Raises:
        LatdirError: No name at all.
    """
    names = list(samples.names if attributes is None else attributes)
    if not names:
        raise LatdirError(f"name at least one attribute of {', '.join(samples.names)}")
    return names


def split(count: int, share: float, *, seed: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Random rows held out, and the others.

    Args:
        count: Number of rows.
        share: Of those held out.
        seed: Of the draw.
        like: Whose device the rows are put on.

    Example:
        >>> [len(rows) for rows in split(50, 0.1, seed=0, like=torch.zeros(1))]
        [5, 45]
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed % 2**63))
    out, kept = order.to(like.device).tensor_split([max(1, round(share * count))])
    return out, kept


def held_out_figures(
    told: Float[Tensor, "n k"], scores: Float[Tensor, "k n"], rows: int, **more: float
) -> list[dict[str, Any]]:
    """Evidence of each attribute: how well held-out codes tell its scores.

    Args:
        told: Attributes as told from codes.
        scores: As labeled; NaN where there is no label.
        rows: Number of all samples.
        more: Figures that all share.
    """
    made = []
    for mine, own in zip(told.T, scores, strict=True):
        known = ~own.isnan()
        figures = {"rank_correlation": spearman(mine[known], own[known])}
        made.append({**figures, "held_out": int(known.sum()), **more, "rows": rows})
    return made
