"""Directions, the latent spaces they live in, and their application.

Everything that a notebook needs is here by name; names that are not used are not imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from directions.bank import DirectionBank
from directions.direction import Calibration, Direction
from directions.errors import (
    BankError,
    CheckpointError,
    ConvergenceError,
    LatdirError,
    SamplesError,
    SpaceError,
    UnknownNameError,
)
from directions.space import Prior, Space

if TYPE_CHECKING:
    from directions.classifiers import load_classifier
    from directions.classifiers.wrap import wrap_classifier
    from directions.disentangling.mixing import disentangle
    from directions.disentangling.projection import condition, orthonormalize
    from directions.editing.grids import edit_grid
    from directions.editing.moves import lerp, move, set_level, slerp, sweep, truncate
    from directions.editing.solver import InfeasibleError, solve
    from directions.generators import load_generator
    from directions.generators.wrap import wrap
    from directions.images import grid, save_png
    from directions.interop import export_bank, import_bank
    from directions.memory import keep_freed_memory
    from directions.scoring.rendering import Rendering

__all__ = [
    "Calibration",
    "Direction",
    "DirectionBank",
    "LatdirError",
    "BankError",
    "CheckpointError",
    "ConvergenceError",
    "InfeasibleError",
    "SamplesError",
    "SpaceError",
    "UnknownNameError",
    "Prior",
    "Rendering",
    "Space",
    "load_generator",
    "load_classifier",
    "wrap",
    "wrap_classifier",
    "import_bank",
    "export_bank",
    "condition",
    "orthonormalize",
    "disentangle",
    "move",
    "set_level",
    "sweep",
    "solve",
    "lerp",
    "slerp",
    "truncate",
    "grid",
    "edit_grid",
    "save_png",
    "keep_freed_memory",
]

_HOME = {
    "Rendering": "scoring.rendering",
    "load_generator": "generators",
    "load_classifier": "classifiers",
    "wrap": "generators.wrap",
    "wrap_classifier": "classifiers.wrap",
    "import_bank": "interop",
    "export_bank": "interop",
    "condition": "disentangling.projection",
    "orthonormalize": "disentangling.projection",
    "disentangle": "disentangling.mixing",
    "move": "editing.moves",
    "set_level": "editing.moves",
    "sweep": "editing.moves",
    "lerp": "editing.moves",
    "slerp": "editing.moves",
    "truncate": "editing.moves",
    "solve": "editing.solver",
    "InfeasibleError": "editing.solver",
    "grid": "images",
    "save_png": "images",
    "edit_grid": "editing.grids",
    "keep_freed_memory": "memory",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'directions' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"directions.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
