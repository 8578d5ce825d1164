"""Directions, the latent spaces they live in, and their application.

Everything that a notebook needs is here by name; names that are not used are not imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from directions.lazy import lazy_names

if TYPE_CHECKING:
    from directions.bank import DirectionBank
    from directions.classifiers import load_classifier
    from directions.classifiers.base import Attribute
    from directions.classifiers.clip.model import load_clip
    from directions.classifiers.wrap import wrap_classifier
    from directions.direction import Calibration, Direction
    from directions.disentangling.mixing import disentangle
    from directions.disentangling.projection import condition, orthonormalize
    from directions.editing.animation import edit_frames
    from directions.editing.channels import strongest_channels
    from directions.editing.contact_sheet import contact_sheet, picked
    from directions.editing.grids import edit_grid
    from directions.editing.levels import set_level
    from directions.editing.mixing import mix_styles, transfer_region
    from directions.editing.moves import lerp, move, slerp, sweep, truncate
    from directions.editing.solution import InfeasibleError, Level, Solution
    from directions.editing.solver import solve
    from directions.errors import (
        BankError,
        CheckpointError,
        ConvergenceError,
        LatdirError,
        SamplesError,
        SpaceError,
        UnknownNameError,
    )
    from directions.executors import Local, Processes, Ray
    from directions.generators import load_generator
    from directions.generators.wrap import wrap
    from directions.images.animations import save_animation
    from directions.images.grids import grid, save_png
    from directions.images.photographs import open_images
    from directions.interop import export_bank, import_bank
    from directions.inversion.base import Inversion
    from directions.inversion.encoders import (
        EncoderRecipe,
        EncoderTraining,
        TrainingSchedule,
        load_encoder,
        save_encoder,
        train_encoder,
    )
    from directions.inversion.hypernetworks import (
        Hypernetwork,
        HypernetworkRecipe,
        HypernetworkTraining,
        load_hypernetwork,
        save_hypernetwork,
        train_hypernetwork,
    )
    from directions.inversion.invert import invert
    from directions.inversion.tuning import (
        Deltas,
        LocalPivotal,
        Pivotal,
        Progressive,
        Rewriter,
        Rewriting,
        Tuning,
        TuningStage,
        rewrite,
        tune,
    )
    from directions.memory import keep_freed_memory
    from directions.photographs.photograph import Photograph, open_photograph
    from directions.progress import progress_bars
    from directions.scoring.kept import keep_scores
    from directions.scoring.rendering import Rendering
    from directions.space import Prior, Space
    from directions.weight_space import WeightDirection

__all__ = [
    "Attribute", "Calibration", "Direction", "DirectionBank", "LatdirError", "BankError",
    "CheckpointError", "ConvergenceError", "InfeasibleError", "SamplesError", "SpaceError",
    "UnknownNameError", "Prior", "Rendering", "Space", "load_generator", "load_classifier",
    "load_clip", "wrap", "wrap_classifier", "import_bank", "export_bank", "condition",
    "orthonormalize", "disentangle", "move", "set_level", "sweep", "solve", "lerp", "slerp",
    "truncate", "grid", "edit_grid", "save_png", "keep_freed_memory", "keep_scores", "invert",
    "Inversion", "open_images", "Photograph", "open_photograph", "Level", "Solution",
    "progress_bars", "contact_sheet", "picked", "edit_frames", "save_animation", "Local",
    "Processes", "Ray", "load_encoder", "save_encoder", "train_encoder", "EncoderRecipe",
    "EncoderTraining", "TrainingSchedule", "Hypernetwork", "HypernetworkRecipe",
    "HypernetworkTraining", "load_hypernetwork", "save_hypernetwork", "train_hypernetwork",
    "tune", "Deltas", "LocalPivotal", "Pivotal", "Progressive", "TuningStage", "Tuning",
    "rewrite", "Rewriter", "Rewriting",
    "strongest_channels", "mix_styles", "transfer_region", "WeightDirection",
]  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__)
