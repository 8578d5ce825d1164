"""Writing where one may not: one line that names the place, and nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

import directions as d
import discovery
from directions.planted.world import planted
from directions.storage.atomic import made_folder
from directions.training.loop import Checkpoint
from discovery.teaching.folders import write_questions
from tests.analysis.measured import true_bank
from tests.directions.paths.test_paths import EXAMPLES
from tests.unchecked import unchecked

NOBODY = 65534
QUIET = d.Rendering(progress=False)


@pytest.fixture(scope="module")
def w() -> Iterator[SimpleNamespace]:
    """A world, and a folder with samples in which nobody may write."""
    folder = Path(tempfile.mkdtemp())
    world = planted(factors=2, dim=6, size=12, names=("age", "smile"))
    judge = world.classifier()
    samples = discovery.sample(world, judge, 20, seed=0, out=folder / "samples", rendering=QUIET)
    for place in (folder, folder / "samples"):
        place.chmod(0o555)
    yield SimpleNamespace(
        folder=folder, world=world, judge=judge, samples=samples, bank=true_bank(world)
    )
    folder.chmod(0o755)
    shutil.rmtree(folder)


DOORS: dict[str, Callable[[SimpleNamespace], Any]] = {
    "a bank": lambda w: w.bank.save(w.folder / "b.safetensors"),
    "a bank to share": lambda w: w.bank.save_pretrained(w.folder / "new", license="mit"),
    "another tool's file": lambda w: d.export_bank(w.bank, w.folder / "b.npy"),
    "a path": lambda w: EXAMPLES["warp"].save(w.folder / "p.safetensors"),
    "a picture": lambda w: d.save_png(torch.zeros(3, 8, 8), w.folder / "a.png"),
    "an animation": lambda w: d.save_animation([Image.new("RGB", (8, 8))] * 2, w.folder / "a.webp"),
    "samples": lambda w: w.samples.save(w.folder / "more"),
    "new samples": lambda w: discovery.sample(
        w.world, w.judge, 20, seed=0, out=w.folder / "more", rendering=QUIET
    ),
    "more samples": lambda w: discovery.sample(
        w.world, w.judge, 30, seed=0, out=w.folder / "samples", rendering=QUIET
    ),
    "a training": lambda w: Checkpoint(w.folder / "new" / "c", {}).write({}, {}),
    "questions": lambda w: write_questions(None, w.folder / "lesson"),
    "a folder": lambda w: made_folder(w.folder / "new"),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_place_without_permission_is_one_line(door: str, w: SimpleNamespace) -> None:
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(NOBODY)
        with (
            unchecked(),
            pytest.raises(d.LatdirError, match=r"^cannot (write|make) .*: Permission denied;"),
        ):
            DOORS[door](w)
    finally:
        if root:
            os.seteuid(0)
