"""What a direction is, where it lives, and how it is applied."""

from directions.bank import DirectionBank
from directions.direction import Calibration, Direction
from directions.errors import LatdirError
from directions.space import Prior, Space

__all__ = ["Calibration", "Direction", "DirectionBank", "LatdirError", "Prior", "Space"]
