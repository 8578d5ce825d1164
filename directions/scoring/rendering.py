"""Rendering options shared by every function that renders codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from directions.arguments import checked_fields
from directions.errors import LatdirError, real_number, whole_number
from directions.executors import Executor, Local
from directions.fingerprints import Precision

__all__ = ["Rendering"]


@checked_fields
@dataclass(frozen=True)
class Rendering:
    """Options for rendering codes and scoring images.

    Attributes:
        truncation: ψ; below 1 codes are drawn toward the mean of their space. None: that of the
            codes a bank was found with where a bank is measured, else 1.
        precision: Arithmetic of generator and classifier. None: bfloat16 where it was measured to
            be at least 10 % faster with scores that agree, on runs of 2,048 images or more; else
            float32.
        batch_size: Images at a time. None: measured, on runs of 2,048 images or more.
        compile: Whether the classifier's compiled form is used. None: where a run is long enough
            to pay for the compilation.
        progress: Whether to show a bar, as in `measure_effects(…, rendering=Rendering(
            progress=False))`.
        executor: Where images are made and scored: here, in several processes
            (`Processes(workers)`), or on a cluster (`Ray(…)`); `directions.executors` has them.

    Raises:
        LatdirError: A value that is not allowed.

    Example:
        >>> Rendering(precision="bfloat16", batch_size=64).psi
        1.0
        >>> Rendering(batch_size=0)
        Traceback (most recent call last):
        directions.errors.LatdirError: batch_size 0 must be at least 1; leave it out to have it ...
    """

    truncation: float | None = None
    precision: Precision | None = None
    batch_size: int | None = None
    compile: bool | None = None
    # Nothing that is computed depends on it.
    progress: bool = field(default=True, compare=False)
    executor: Executor = field(default=Local(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.batch_size is not None and whole_number(self.batch_size, "batch_size") < 1:
            raise LatdirError(
                f"batch_size {self.batch_size} must be at least 1; leave it out to have it measured"
            )
        if self.precision not in (None, *get_args(Precision)):
            raise LatdirError(
                f"precision {self.precision!r} is unknown: there are "
                f"{', '.join(get_args(Precision))}; leave it out to have it measured"
            )
        if isinstance(self.truncation, float) and not math.isfinite(self.truncation):
            raise LatdirError(f"truncation {self.truncation} must be finite: a usual one is 0.7")
        if self.truncation is not None:
            real_number(self.truncation, "truncation")

    @property
    def psi(self) -> float:
        """The truncation, 1 where it is left open."""
        return 1.0 if self.truncation is None else float(self.truncation)

    def of_bank(self, provenance: Mapping[str, Any]) -> Rendering:
        """The same with an open truncation taken from a bank's provenance.

        Example:
            >>> Rendering().of_bank({"truncation": 0.7}).psi
            0.7
        """
        found = provenance.get("truncation")
        if self.truncation is not None or not isinstance(found, int | float):
            return self
        return replace(self, truncation=float(found))
