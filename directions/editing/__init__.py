"""Edits of codes: moves, levels, sweeps, interpolation, grids of images and joint targets.

Read `moves` first, then `solver`. Import the functions from here; the modules' other names are
internal.
"""

from directions.editing.grids import edit_grid
from directions.editing.moves import lerp, move, set_level, slerp, sweep, truncate
from directions.editing.solver import InfeasibleError, Solution, solve

__all__ = [
    "InfeasibleError", "Solution", "edit_grid", "lerp", "move", "set_level", "slerp", "solve",
    "sweep", "truncate",
]  # fmt: skip
