"""Training: the loop of everything that learns, with checkpoints that resume to the last bit.

Read `loop` first; `averaged` is a network with its moving average, measured on the way. Import the
names from here.
"""

from directions.training.averaged import Averaged
from directions.training.loop import Checkpoint, Fit, constant, falling, fit, step_rng

__all__ = ["Averaged", "Checkpoint", "Fit", "constant", "falling", "fit", "step_rng"]
