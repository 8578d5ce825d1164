"""Sliders: what the page shows of each direction and curved path."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from directions.bank import DirectionBank
from directions.direction import Calibration, Direction
from directions.paths import CurvedPath
from directions.table import evidence_of

__all__ = ["REACH", "Slider", "find", "sliders_of"]

# In sigma, each way: calibration measures no further, and few codes of a prior lie beyond.
REACH = 3.0


@dataclass(frozen=True)
class Slider:
    """One direction or curved path, as a control.

    Attributes:
        name: Its name.
        low: Lowest amount, in sigma.
        high: Highest amount, in sigma.
        band: Lowest and highest amount over which its attribute responds linearly, in sigma.
        attribute: The attribute it is calibrated in; empty without calibration.
        unit: Unit of that attribute.
        per_sigma: Change of that attribute per sigma.
        remark: What is known of it, on one line.
        curved: Whether it is a path.
    """

    name: str
    low: float = -REACH
    high: float = REACH
    band: tuple[float, float] | None = None
    attribute: str = ""
    unit: str = ""
    per_sigma: float = 0.0
    remark: str = ""
    curved: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Attributes that differ from their defaults, and the name and ends."""
        kept = {"name", "low", "high"}
        plain = asdict(self)
        defaults = asdict(Slider(self.name))
        return {k: v for k, v in plain.items() if k in kept or v != defaults[k]}


def sliders_of(bank: DirectionBank, paths: Iterable[CurvedPath] = ()) -> tuple[Slider, ...]:
    """A slider for each direction of the bank, then one for each path.

    Example:
        >>> import torch
        >>> yaw = Calibration("yaw", "degrees", per_sigma=10.0, low=-1.0, high=3.5)
        >>> turn = Direction("turn", torch.tensor([1.0, 0.0]), "z", calibration=yaw)
        >>> [made] = sliders_of(DirectionBank((turn,), "toy", "0" * 64))
        >>> made.low, made.high, made.band, made.unit
        (-4.0, 4.0, (-1.0, 3.5), 'degrees')
    """
    made = [_of_direction(direction) for direction in bank.directions]
    curves = [
        Slider(path.name, remark=f"curved path, {path.kind}, space {path.space}", curved=True)
        for path in paths
    ]
    return (*made, *curves)


def find(sliders: Sequence[Slider], text: str, most: int) -> list[Slider]:
    """Sliders whose name or attribute contains a text, those that begin with it first."""
    wanted = text.strip().lower()
    hits = [s for s in sliders if wanted in s.name.lower() or wanted in s.attribute.lower()]
    hits.sort(key=lambda s: not s.name.lower().startswith(wanted))
    return hits[:most]


def _of_direction(direction: Direction) -> Slider:
    scale: Calibration | None = direction.calibration
    known = ", ".join(part for part in (direction.method, evidence_of(direction)) if part)
    layers = direction.layers
    if layers is not None:
        known += f", layers {', '.join(map(str, layers))}"
    if scale is None:
        return Slider(direction.name, remark=known)
    reach = max(REACH, math.ceil(-scale.low), math.ceil(scale.high))
    return Slider(
        direction.name,
        low=-float(reach),
        high=float(reach),
        band=(scale.low, scale.high),
        attribute=scale.attribute,
        unit=scale.unit,
        per_sigma=scale.per_sigma,
        remark=known,
    )
