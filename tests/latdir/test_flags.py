"""Flags that every command of a kind has, whichever commands there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from directions import LatdirError
from discovery import find_method
from discovery.base import LabelMethod
from discovery.registry import describe, methods
from latdir.cli import app
from tests.latdir.test_cache import MODELS, STOPPING

# What reads and writes files only: it loads no model.
FILES_ONLY = {
    "bank show", "bank merge", "list generators", "list classifiers", "list methods",
}  # fmt: skip
# What loads a generator without making an image: codes, priors, weights; inversion is in float32.
NO_IMAGES = {"bank convert", "bank orthonormalize", "samples import", "invert"}
# Methods that score images without derivatives, train, or multiply large matrices; others
# run in the precision of the weights.
CHOOSING = {
    "clip_boundary", "clip_global", "conditional_flow", "decurved", "disco", "feature_regression",
    "grad_ctrl", "latent2im", "latent_clr", "pca", "plugen", "potential_flow", "stylespace",
    "voynov_babenko", "warped_gan_space", "weight_contrast",
}  # fmt: skip

# What maps over codes or images, beside methods that say so themselves.
MAPPING = {"sample", "effects", "evaluate", "compare", "report", "invert"}


def commands(group: Any, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Every command with its flags."""
    for child in group.list_commands(None):
        command = group.get_command(None, child)
        if hasattr(command, "list_commands"):
            yield from commands(command, f"{name}{child} ")
        else:
            yield f"{name}{child}", {flag for p in command.params for flag in p.opts}


COMMANDS = dict(commands(typer.main.get_command(app)))
LABELED = {f"discover {n}" for n in methods() if issubclass(find_method(n), LabelMethod)}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_loads_a_model_takes_a_device(command: str):
    wanted = command not in FILES_ONLY | LABELED
    assert ("--device" in COMMANDS[command]) == wanted


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_scores_or_draws_images_takes_a_precision(command: str):
    group, _, name = command.partition(" ")
    wanted = name in CHOOSING if group == "discover" else command not in FILES_ONLY | NO_IMAGES
    assert ("--precision" in COMMANDS[command]) == wanted


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_maps_over_codes_or_images_takes_workers(command: str):
    group, _, name = command.partition(" ")
    wanted = describe(name).executes if group == "discover" else command in MAPPING
    flags = {"--executor", "--workers", "--address", "--num-gpus"}
    assert flags & COMMANDS[command] == (flags if wanted else set())


def test_the_lists_above_name_commands_that_exist():
    assert set(COMMANDS) >= FILES_ONLY | NO_IMAGES | MAPPING
    assert {f"discover {name}" for name in CHOOSING} <= set(COMMANDS)


RUNS = {
    "sample": f"sample {MODELS} --count 40 --out two",
    "edit": "edit b.safetensors --sweep red --generator mine:generator --out red.png",
    "solve": f"solve b.safetensors --set red=1 --count 2 --out solved.png {MODELS}",
    "effects": f"effects b.safetensors --count 8 {MODELS}",
    "evaluate": f"evaluate b.safetensors --count 8 --null 3 {MODELS}",
    "compare": f"compare b.safetensors --count 8 {MODELS}",
    "report": f"report b.safetensors --count 8 --out r.html {MODELS}",
}


@pytest.mark.parametrize("command", RUNS)
def test_the_flags_reach_the_models(command: str, typed, beside, tmp_path: Path):
    beside(STOPPING)
    import mine  # type: ignore[import-not-found]

    mine.stop_at[0] = 0
    assert typed(f"sample {MODELS} --count 200 --out s")[0] == 0
    assert typed("discover boundary --samples s --out b.safetensors")[0] == 0
    code, _, err = typed(f"{RUNS[command]} --device cuda:9")
    assert code == 2
    assert "cuda" in err
    for precision in ("float32", "bfloat16"):
        code, _, err = typed(f"{RUNS[command]} --precision {precision} --device cpu")
        if command == "sample" and precision == "bfloat16":
            assert "was begun with precision 'float32'" in err
        else:
            assert code == 0, err


def test_models_of_other_commands_are_loaded_onto_the_device(typed, beside, devices, monkeypatch):
    beside(
        "from directions.planted.world import planted\n"
        "def generator(): return planted(factors=2, dim=6, names=('age', 'smile'))\n"
        "def classifier(): return generator().classifier()\n"
    )
    for line in (
        "discover gradient --generator mine:generator --classifier mine:classifier --n-codes 8 "
        "--out b.safetensors",
        "bank convert b.safetensors --generator mine:generator --out b.npz",
    ):
        code, _, err = typed(f"{line} --device cpu")
        assert code == 0, err
    monkeypatch.setattr("discovery.sample", _stop)
    code, _, err = typed("demo --out demo --device cpu")
    assert (code, err) == (2, "latdir: that is enough\n")


def _stop(*_: Any, **__: Any) -> None:
    raise LatdirError("that is enough")
