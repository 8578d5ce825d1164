"""Public functions given the wrong things: one clear error, or the right result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import fields, is_dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import Tensor

import analysis
import directions
import discovery
import latdir
from analysis import plots
from directions import DirectionBank, LatdirError, inversion
from tests.fuzzed.functions import functions
from tests.fuzzed.inversions import inversions
from tests.fuzzed.methods import BOUND, bound, methods
from tests.fuzzed.records import classes, figures
from tests.fuzzed.trainers import TRAINED, trainers
from tests.fuzzed.variants import Odd, Same, variants
from tests.fuzzed.world import world
from tests.unchecked import unchecked

PACKAGES = {
    "directions": directions, "discovery": discovery, "analysis": analysis, "latdir": latdir,
    "directions.inversion": inversion,
}  # fmt: skip
# Errors, constants, a function without arguments, and contexts.
NOT_CALLED = {
    "LatdirError", "BankError", "CheckpointError", "ConvergenceError", "InfeasibleError",
    "Interrupted", "SamplesError", "SpaceError", "UnknownNameError", "METHODS", "HELD_OUT_SEED",
    "NAMING_SEED", "__version__", "plots", "Local", "keep_freed_memory", "keep_scores",
    "progress_bars",
    # Nested records that only their own functions make; what they are made from is fuzzed.
    "Agreement", "CalibrationCurve", "Comparison", "Consistency", "Curves", "Effect", "Effects",
    "Deltas", "EncoderTraining", "Hypernetwork", "HypernetworkTraining", "Inversion", "Leakage",
    "Naming", "Participation", "Realism", "Rewriting", "Solution", "Tuning",
    # What solvers and starts are made of, and what `find_recipe` and its like look up.
    "Degradation", "Encoder", "Fitted", "Inverter", "Objective",
    "Solved", "Start", "Typicality", "KERNELS", "RECIPES", "SOLVERS", "STARTS",
    "STATUSES",
    # They read weights that are not included, or draw them at random for seconds.
    "lpips_distance", "lpips_features",
}  # fmt: skip


def numbers(result: Any) -> Iterator[Tensor]:
    """Every number in a result."""
    if isinstance(result, Tensor):
        yield result.detach().double().flatten()
    elif isinstance(result, bool | int | float):
        yield torch.tensor([float(result)], dtype=torch.float64)
    elif is_dataclass(result) and not isinstance(result, type):
        for field in [f for f in fields(result) if f.compare]:
            yield from numbers(getattr(result, field.name))
    elif isinstance(result, Mapping):
        for value in result.values():
            yield from numbers(value)
    elif isinstance(result, list | tuple):
        for value in result:
            yield from numbers(value)


def flat(result: Any) -> Tensor:
    return torch.cat([torch.zeros(0, dtype=torch.float64), *numbers(result)])


def calls(w: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Every callable by name, and the arguments of a valid call."""
    for table in (functions(w), classes(w), {"directions.inversion": inversions(w)}):
        for package, cases in table.items():
            for name, given in cases.items():
                made = getattr(PACKAGES[package], name)
                yield name, closing(made) if name == "explore" else made, given
    for name, given in figures(w).items():
        yield name, getattr(plots, name), given
    for name, (settings, given) in methods(w).items():
        yield name, discovering(name, tuple(settings)), {**settings, **given}
    yield from bound(w)
    yield from trainers(w)


def closing(function: Any) -> Any:
    """A function whose result is closed: an explorer has threads."""
    return lambda **given: function(**given).close()


def discovering(name: str, settings: Sequence[str]) -> Any:
    def discover(**given: Any) -> DirectionBank:
        method = getattr(discovery, name)(**{k: given.pop(k) for k in settings})
        return method.discover(**given)

    return discover


# A function of the caller's own may be anything callable; what it returns is checked.
FREE = {"config", "evidence", "provenance", "results", "version"}
# They calculate with the values of codes and pass on what is not finite, as torch does.
ARITHMETIC = {
    "move", "sweep", "set_level", "lerp", "slerp", "truncate", "Direction.shift",
    "Generator.synthesize", "Generator.map", "Classifier", "Classifier.logits", "pixels",
    "pixel_features", "psnr",
    # An image that is not finite spoils its own row alone.
    "ConditionalEncoder.encode", "Details.render", "Hypernetwork.predict",
}  # fmt: skip
# Records of results, which are NaN where nothing could be measured.
RECORDS = {
    "Accuracy", "Cost", "DCI", "Distinguishability", "Evaluation", "FrechetMean",
    "Geodesic", "Identity", "PrincipalGeodesics",
    "InversionQuality", "KeptEdits", "LatentConsistency", "LinearRange", "LocalMetric",
    "PathLength",
    "PermutationTest", "RandomNull", "Reconstruction", "Separability",
}  # fmt: skip
# NaN is the right figure: a change out of reach, a measure that an attribute has not.
MEANT = {
    ("identity_preservation", "changes"), ("identity_preservation", "curves"),
    ("evaluate", "attributes"), ("kept_edits", "embed"),
}  # fmt: skip
NEVER = (b"bytes", 1 + 2j)


def agree(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, equal_nan=True, atol=1e-5)


def spoiled(result: Any, base: Any) -> bool:
    return bool(flat(base).isfinite().all()) and not flat(result).isfinite().all()


def problem(
    function_name: str, function: Any, given: dict[str, Any], argument: str, variant: Any, base: Any
) -> str:
    """What is wrong with the outcome of a call; empty where nothing is."""
    same = isinstance(variant, Same)
    value = variant.value if same else variant
    try:
        result = function(**{**given, argument: value})
    except LatdirError as error:
        text = str(error)
        if same:
            return f"refused what means the same: {text}"
        return "" if 10 < len(text) < 1500 else f"says little or too much: {text!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        plt.close("all")
    if same and not agree(flat(result), flat(base)):
        return "another result for what means the same"
    may_be_nan = function_name in ARITHMETIC | RECORDS or (function_name, argument) in MEANT
    if argument not in FREE and not may_be_nan and spoiled(result, base):
        return "NaN or infinite figures, which the right call has none of"
    never = isinstance(value, Odd) or any(type(value) is type(v) and value == v for v in NEVER)
    if never and argument not in FREE:
        return f"took {value!r}"
    return ""


@pytest.fixture(scope="module")
def w(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with unchecked():
        made = world(tmp_path_factory.mktemp("fuzz"))
        made.calls = {name: (function, given) for name, function, given in calls(made)}
    return made


PUBLIC = {name for package in PACKAGES.values() for name in package.__all__}
NAMES = sorted(PUBLIC - NOT_CALLED) + [n for n in plots.__all__ if n[:5] == "plot_"] + [*BOUND]
NAMES += TRAINED


def test_every_public_callable_is_called(w: Any) -> None:
    assert sorted(w.calls) == sorted(NAMES)


def problems(w: Any, name: str, most: int | None) -> list[str]:
    """What goes wrong in calls of one function, of all variants or of a few drawn at random."""
    function, given = w.calls[name]
    base = function(**given)
    plt.close("all")
    tried = [(a, v) for a, value in given.items() for v in variants(value, w)]
    if most is not None:
        chosen = np.random.default_rng(len(tried)).permutation(len(tried))[:most]
        tried = [tried[i] for i in chosen]
    # A word that is taken for a path makes a file here.
    with chdir(w.folder):
        found = [(a, v, problem(name, function, given, a, v, base)) for a, v in tried]
    return [f"{name}({a}={getattr(v, 'value', v)!r:.60}): {text}" for a, v, text in found if text]


@pytest.mark.parametrize("name", NAMES)
def test_a_few_wrong_arguments_get_one_clear_error(name: str, w: Any) -> None:
    with unchecked():
        assert problems(w, name, 3) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_wrong_arguments_get_one_clear_error(name: str, w: Any) -> None:
    with unchecked():
        assert problems(w, name, None) == []
