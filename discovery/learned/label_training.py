"""Settings of the methods that train networks on labeled codes; `directions.training` trains."""

from __future__ import annotations

from dataclasses import dataclass

from directions.errors import LatdirError
from discovery.base import LabelMethod
from discovery.supervised.labels import Scale

__all__ = ["LabelTraining"]


@dataclass(frozen=True)
class LabelTraining(LabelMethod):
    """Settings of the methods that train networks on labeled codes.

    Attributes:
        scale: Scale of the labels: normal quantiles of the ranks, log-odds, or raw scores.
        steps: Steps of Adam.
        batch_size: Codes a step.
        rate: Its highest rate.
        decay: Weight decay.
        hidden: Units of each hidden layer.
        validation: Share of the samples held out.
    """

    scale: Scale = "rank"
    steps: int = 800
    batch_size: int = 512
    rate: float = 2e-3
    decay: float = 0.1
    hidden: int = 64
    validation: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.validation < 1:
            raise LatdirError(f"validation is a fraction between 0 and 1, not {self.validation}")
        if not self.rate > 0 or self.decay < 0 or self.hidden < 1:
            raise LatdirError(
                f"rate {self.rate} is positive, decay {self.decay} is not negative, and hidden "
                f"{self.hidden} is at least 1"
            )
