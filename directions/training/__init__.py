"""Training: the loop of everything that learns, with checkpoints that resume to the last bit.

Read `loop`, which is all there is. Import the names from here.
"""

from directions.training.loop import Checkpoint, Fit, constant, falling, fit, step_rng

__all__ = ["Checkpoint", "Fit", "constant", "falling", "fit", "step_rng"]
