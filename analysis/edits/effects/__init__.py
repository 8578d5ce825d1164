"""Effects: the change of each attribute along each direction of a bank, with intervals.

Read `matrix` first: `Effects`, a function of scores already measured; `measured` makes the images.
Import from here.
"""

from analysis.edits.effects.matrix import Effect, Effects, effects_of
from analysis.edits.effects.measured import measure_effects

__all__ = ["Effect", "Effects", "effects_of", "measure_effects"]
