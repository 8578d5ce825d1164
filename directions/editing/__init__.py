"""Edits of codes: moves, levels, sweeps, interpolation, mixing, joint targets, grids, animations.

Read `moves` first, then `solver`, which predicts from effects (`linear`) or corrects on images
(`search`). Import the functions from here; the modules' other names are internal.
"""

from directions.editing.animation import edit_frames
from directions.editing.channels import strongest_channels
from directions.editing.contact_sheet import contact_sheet, picked
from directions.editing.grids import edit_grid
from directions.editing.levels import set_level
from directions.editing.mixing import mix_styles, transfer_region
from directions.editing.moves import lerp, move, slerp, sweep, truncate
from directions.editing.solution import InfeasibleError, Level, Solution
from directions.editing.solver import solve

__all__ = [
    "InfeasibleError", "Level", "Solution", "contact_sheet", "edit_frames", "edit_grid", "lerp",
    "mix_styles", "move", "picked", "set_level", "slerp", "solve", "strongest_channels", "sweep",
    "transfer_region", "truncate",
]  # fmt: skip
