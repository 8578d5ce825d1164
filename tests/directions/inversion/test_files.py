"""Inversions written and read again."""

from dataclasses import fields, replace

import pytest
import torch
from safetensors.torch import save_file

from directions import invert
from directions.errors import LatdirError
from directions.inversion import load_inversion, save_inversion
from tests.directions.inversion.worlds import bent, linear, pair


def test_what_is_read_is_what_was_written(tmp_path):
    world = bent()
    _, images = pair(world, 3)
    found = invert(world, images, start="best")
    save_inversion(found, tmp_path / "a.safetensors")
    read = load_inversion(tmp_path / "a.safetensors", world)
    for field in fields(found):
        mine, theirs = getattr(found, field.name), getattr(read, field.name)
        if isinstance(mine, torch.Tensor):
            torch.testing.assert_close(theirs, mine, rtol=0, atol=0, equal_nan=True)
        else:
            assert theirs == mine
    torch.testing.assert_close(read.reconstruct(), found.reconstruct(), rtol=0, atol=0)
    save_inversion(read, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_files_that_are_refused(tmp_path):
    world = linear()
    found = invert(world, pair(world, 2)[1], start="mean")
    path = tmp_path / "a.safetensors"
    save_inversion(found, path)
    with pytest.raises(LatdirError, match="bent has another fingerprint"):
        load_inversion(path, bent())
    with pytest.raises(LatdirError, match=r"b\.safetensors"):
        load_inversion(tmp_path / "b.safetensors", world)
    save_inversion(replace(found, starts=found.starts[:1]), path)
    with pytest.raises(LatdirError, match="lacks parts of an inversion"):
        load_inversion(path, world)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(LatdirError, match=r"a\.safetensors"):
        load_inversion(path, world)
    save_file({"codes": found.codes}, path)
    with pytest.raises(LatdirError, match=r"a\.safetensors"):
        load_inversion(path, world)
