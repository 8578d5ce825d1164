"""Where an inversion starts: the mean, samples of the prior, or a regression of codes on images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import Settings
from directions.arguments.shapes import check_finite_values
from directions.errors import known_name, whole_number
from directions.inversion.fitted import Fitted, fitted
from directions.inversion.objective import Objective

__all__ = ["STARTS", "Best", "Given", "Mean", "Ridge", "Start", "find_start"]

# Where the cost has no gradient at the mean: the fraction of the way to a sample of the prior.
OFF_MEAN = 0.5
# Samples that restarts choose from.
POOL = 256


@dataclass(frozen=True)
class Start(Settings, ABC):
    """A way to choose first codes; the same for an image whatever its batch."""

    @property
    def config(self) -> dict[str, Any]:
        """Its name and settings, for records."""
        return {"start": type(self).__name__, **asdict(self)}

    def prepared(self, objective: Objective, *, metric: bool = False) -> Fitted | None:
        """What was fitted for it once, if anything; with JᵀJ for solvers that use it."""
        return None

    def metric(self, objective: Objective) -> Tensor | None:
        """JᵀJ averaged over the prior, `[d, d]`, if it is known."""
        fit = self.prepared(objective, metric=True)
        return fit.metric if fit is not None and fit.metric.numel() else None

    def of(self, rows: slice) -> Start:
        """The start of some of the images."""
        return self

    @abstractmethod
    def first(self, objective: Objective, *, seed: int) -> Float[Tensor, "n ..."]:
        """The first code of each image."""

    def next(self, objective: Objective, *, attempt: int, seed: int) -> Float[Tensor, "n ..."]:
        """The code for a restart, 1, 2, …: the sample of the prior that is next best."""
        return _best(objective, POOL, seed + 1, rank=attempt - 1)


@dataclass(frozen=True)
class Mean(Start):
    """The mean of the space.

    Where the cost does not change with the code there, as at the mean z of `digiface64`, whose
    first ReLUs are all off, the start is moved half the way to a sample of the prior.
    """

    def first(self, objective: Objective, *, seed: int) -> Float[Tensor, "n ..."]:
        """As `Start.first`."""
        center = objective.typicality.center(objective.observed)
        codes = center.expand(len(objective), *center.shape).clone()
        leaf = codes.clone().requires_grad_()
        with torch.enable_grad():
            costs = objective.costs(leaf)
            if not costs.requires_grad:
                return codes
            [slope] = torch.autograd.grad(costs.sum(), leaf)
        flat = slope.flatten(1).norm(dim=1) == 0
        [sample] = objective.generator.sample(1, seed=seed, space=objective.space).to(codes)
        codes[flat] = center + OFF_MEAN * (sample - center)
        return codes


@dataclass(frozen=True)
class Best(Start):
    """The best of some samples of the prior, by their cost.

    Attributes:
        count: Samples.
    """

    count: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.count, "count", least=1)

    def first(self, objective: Objective, *, seed: int) -> Float[Tensor, "n ..."]:
        """As `Start.first`."""
        return _best(objective, self.count, seed, rank=0)


@dataclass(frozen=True)
class Ridge(Start):
    """Ridge regression of codes on images, fitted once to samples of the generator.

    Restarts begin at the samples whose images are nearest, moved by the regression of what is
    different.

    Attributes:
        count: Samples it is fitted to.
        folder: Where the fit is kept between runs; by default in memory only.
        fit: The regression, where it is known: what is sent to other processes has it.
    """

    count: int = 4096
    folder: str | PathLike[str] | None = None
    fit: Fitted | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.count, "count", least=64)

    @property
    def config(self) -> dict[str, Any]:
        """Its name and settings, for records; where the fit is kept changes nothing."""
        return {"start": "Ridge", "count": self.count}

    def prepared(self, objective: Objective, *, metric: bool = False) -> Fitted:
        """The regression."""
        return self.fit or fitted(
            objective.generator,
            space=objective.space,
            degradation=objective.degradation,
            count=self.count,
            metric=metric,
            folder=self.folder,
        )

    def first(self, objective: Objective, *, seed: int) -> Float[Tensor, "n ..."]:
        """As `Start.first`."""
        return self.prepared(objective).predicted(objective.observed)

    def next(self, objective: Objective, *, attempt: int, seed: int) -> Float[Tensor, "n ..."]:
        """As `Start.next`."""
        return self.prepared(objective).near(objective.observed, rank=attempt - 1)


@dataclass(frozen=True, eq=False)
class Given(Start):
    """Codes of the caller's own.

    Attributes:
        codes: `[n, *space.shape]`, one for each image.
    """

    codes: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite_values(vars(self), ("codes",))

    @property
    def config(self) -> dict[str, Any]:
        """Its name; the codes are the caller's."""
        return {"start": "Given"}

    def of(self, rows: slice) -> Given:
        """The start of some of the images."""
        return Given(self.codes[rows])

    def first(self, objective: Objective, *, seed: int) -> Float[Tensor, "n ..."]:
        """As `Start.first`."""
        return self.codes.to(objective.observed)


STARTS: Mapping[str, type[Start]] = {"mean": Mean, "best": Best, "ridge": Ridge}


def find_start(start: str | Start) -> Start:
    """A start by its name; one that is made already stays as it is.

    Raises:
        LatdirError: No start of that name.

    Example:
        >>> find_start("mean")
        Mean()
    """
    if isinstance(start, Start):
        return start
    return STARTS[known_name(start, STARTS, "start", others="codes, or a Start")]()


def _best(objective: Objective, count: int, seed: int, *, rank: int) -> Float[Tensor, "n ..."]:
    """Of samples of the prior, the one of that rank by its cost, for each image."""
    pool = objective.generator.sample(count, seed=seed, space=objective.space)
    with torch.no_grad():
        target = objective.target
        seen = torch.cat([objective.seen_at(part) for part in torch.split(pool, 16)])
    order = torch.cdist(target, seen).topk(rank + 1, largest=False).indices[:, rank]
    return pool[order].to(target)
