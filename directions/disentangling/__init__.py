"""Disentangled directions: conditioning by projection, mixing by measured effects.

Read `projection` first, then `mixing`. Import the functions from here; `vectors` holds the linear
algebra that they share.
"""

from directions.disentangling.measured import independent, labeler_effects, step_effects
from directions.disentangling.mixing import disentangle
from directions.disentangling.projection import condition, orthonormalize

__all__ = [
    "condition", "disentangle", "independent", "labeler_effects", "orthonormalize", "step_effects",
]  # fmt: skip
