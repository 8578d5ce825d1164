"""Inversions into a folder: resumed bit for bit, keyed by image and configuration."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys

import pytest
import torch

import directions
from directions.errors import LatdirError
from directions.inversion import Gray, Ridge, invert_folder
from directions.inversion.batches import Job
from directions.scoring.rendering import Rendering
from tests.directions.inversion.worlds import bent, pair
from tests.turned import Turned

folders = sys.modules["directions.inversion.folders"]
FOURS = Rendering(batch_size=4, progress=False)
FIELDS = ("codes", "costs", "psnr", "distances", "typical_psnr", "steps")


def named(images):
    return [(f"{i:03}.png", image) for i, image in enumerate(images)]


def same(left, right):
    for field in FIELDS:
        torch.testing.assert_close(
            getattr(left, field), getattr(right, field), rtol=0, atol=0, equal_nan=True
        )
    assert (left.statuses, left.starts, left.names) == (right.statuses, right.starts, right.names)


def test_a_run_interrupted_at_every_batch_ends_as_one_that_was_not(tmp_path, monkeypatch):
    world, start = bent(), Ridge(count=128)
    _, images = pair(world, 11)
    whole = invert_folder(world, named(images), tmp_path / "a", start=start, rendering=FOURS)
    assert whole.names[3] == "003.png"
    assert whole.table()[3]["name"] == "003.png"
    written = folders._write

    def killed(*given):
        written(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(folders, "_write", killed)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            invert_folder(world, named(images), tmp_path / "b", start=start, rendering=FOURS)
    monkeypatch.setattr(folders, "invert", None)  # nothing is left to invert
    same(invert_folder(world, named(images), tmp_path / "b", start=start, rendering=FOURS), whole)
    assert not list((tmp_path / "b").glob("*.tmp"))


@pytest.mark.parametrize("start", [Ridge(count=128), "mean"])
def test_codes_are_the_same_wherever_batches_are_inverted(tmp_path, start):
    world = bent()
    _, images = pair(world, 3)
    far = Rendering(batch_size=2, progress=False, executor=Turned())
    near = Rendering(batch_size=2, progress=False)
    given = {"start": start, "rendering": near}
    whole = directions.invert(world, images, **given)
    same(directions.invert(world, images, **{**given, "rendering": far}), whole)
    twice = [*named(images), ("again.png", images[0])]
    there = invert_folder(world, twice, tmp_path / "a", start=start, rendering=far)
    same(there, invert_folder(world, twice, tmp_path / "b", start=start, rendering=near))
    torch.testing.assert_close(there.codes[:3], whole.codes, rtol=0, atol=0)
    assert len(list((tmp_path / "a").glob("inversions-*"))) == 2


def test_images_that_are_added_are_inverted_alone(tmp_path, monkeypatch):
    world = bent()
    _, images = pair(world, 6)
    invert_folder(world, named(images[:4]), tmp_path, start="mean", rendering=FOURS)
    asked = []
    monkeypatch.setattr(
        folders, "invert", lambda g, x, **o: (asked.append(len(x)), directions.invert(g, x, **o))[1]
    )
    found = invert_folder(world, named(images), tmp_path, start="mean", rendering=FOURS)
    assert asked == [2]
    assert len(found) == 6
    # The same image twice is inverted once, and another configuration inverts all again.
    twice = torch.cat([images, images[:2]])
    again = invert_folder(world, named(twice), tmp_path, start="mean", rendering=FOURS)
    assert asked == [2]
    assert torch.equal(again.codes[6:], again.codes[:2])
    invert_folder(world, named(images), tmp_path, start="mean", rendering=FOURS, seed=1)
    assert asked == [2, 4, 2]


def test_pictures_of_a_folder(tmp_path, caplog):
    world = bent(side=8)
    _, images = pair(world, 3)
    (tmp_path / "in").mkdir()
    for i, image in enumerate(images):
        directions.save_png(image, tmp_path / "in" / f"{i}.png")
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "in" / "notes.txt").write_text("no picture either")
    with caplog.at_level(logging.WARNING):
        found = invert_folder(world, tmp_path / "in", tmp_path / "out", start="mean")
    assert found.names == ("0.png", "1.png", "2.png")
    assert (found.psnr > 35).all()
    assert "broken.png is not a picture" in caplog.text
    gray = invert_folder(
        world, tmp_path / "in", tmp_path / "out", start="mean", degradation=Gray(), restarts=0
    )
    assert len(gray) == 3


def test_a_dead_image_is_left_out(tmp_path, caplog):
    world = bent()
    _, images = pair(world, 3)
    images[1] = torch.nan
    found = invert_folder(world, named(images), tmp_path, start="mean")
    assert found.names == ("000.png", "002.png")
    assert "001.png has NaN" in caplog.text
    with pytest.raises(LatdirError, match="none could be read"):
        invert_folder(world, named(images[1:2]), tmp_path, start="mean")


def test_refusals(tmp_path):
    world = bent()
    _, images = pair(world, 2)
    with pytest.raises(LatdirError, match="there is no folder"):
        invert_folder(world, tmp_path / "none", tmp_path, start="mean")
    invert_folder(world, named(images), tmp_path, start="mean")
    [file] = tmp_path.glob("inversions-*.safetensors")
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(LatdirError, match="delete it: its images are inverted again"):
        invert_folder(world, named(images), tmp_path, start="mean")


def test_short_memory_halves_the_batch(monkeypatch, caplog):
    world = bent()
    _, images = pair(world, 7)
    clean = directions.invert(world, images, start="mean")
    run = Job.run

    def tight(job, objective, start):
        if len(objective) > 3:
            raise torch.OutOfMemoryError("no room")
        return run(job, objective, start)

    monkeypatch.setattr(Job, "run", tight)
    found = directions.invert(world, images, start="mean")
    torch.testing.assert_close(found.codes, clean.codes, rtol=0, atol=1e-3)
    assert "out of memory with 7 images at a time: now 3" in caplog.text
    monkeypatch.setattr(
        Job, "run", lambda *given: (_ for _ in ()).throw(torch.OutOfMemoryError("no room"))
    )
    with pytest.raises(LatdirError, match="not enough memory on cpu to invert one image"):
        directions.invert(world, images, start="mean")


SCRIPT = """
import sys, torch
from directions.inversion import Ridge, invert_folder
from directions.scoring.rendering import Rendering
from tests.directions.inversion.worlds import bent, pair
from tests.turned import Turned
torch.set_num_threads(1)
_, images = pair(bent(), 256)
invert_folder(bent(), [(str(i), x) for i, x in enumerate(images)], sys.argv[1],
              start=Ridge(count=128), rendering=Rendering(batch_size=4, progress=False))
print("done")
"""


@pytest.mark.slow  # eleven processes
def test_a_run_of_256_images_killed_ten_times_ends_bit_identical(tmp_path):
    def files(folder):
        return {p.name for p in folder.glob("inversions-*.safetensors")}

    def started(folder):
        return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], env=os.environ)

    assert started(tmp_path / "whole").wait() == 0
    for kill in range(10):
        process = started(tmp_path / "killed")
        while len(files(tmp_path / "killed")) < 5 * (kill + 1) and process.poll() is None:
            pass
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert started(tmp_path / "killed").wait() == 0
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert len(files(tmp_path / "whole")) == 64
    for name in files(tmp_path / "whole"):
        left, right = (folders._read(tmp_path / k, name[:-12]) for k in ("whole", "killed"))
        assert left.keys() == right.keys()
        for key in left:
            for field in FIELDS:
                assert torch.equal(left[key][field].nan_to_num(), right[key][field].nan_to_num())
