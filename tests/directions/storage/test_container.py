"""The container of banks, paths and resumable runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from directions.errors import CheckpointError, SamplesError
from directions.storage.container import FileFormat, read_tensors, write_tensors

NOTE = FileFormat("latdir.note", "note", SamplesError, hint="write it again", version=2)


def test_tensors_come_back_in_their_own_dtype_and_equal_contents_give_equal_bytes(
    tmp_path: Path,
) -> None:
    shared = torch.arange(6.0, dtype=torch.float64).reshape(2, 3)
    tensors = {"b": shared.T, "a": shared, "n": torch.tensor(3)}
    write_tensors(tmp_path / "one", tensors, {"x": 1, "y": (2.5, "ü")}, format=NOTE)
    write_tensors(
        tmp_path / "two", dict(reversed(tensors.items())), {"y": [2.5, "ü"], "x": 1}, format=NOTE
    )
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    manifest, found = read_tensors(tmp_path / "one", NOTE)
    assert manifest == {"x": 1, "y": [2.5, "ü"]}
    assert {k: v.dtype for k, v in found.items()} == {k: v.dtype for k, v in tensors.items()}
    assert all(torch.equal(found[k], tensors[k]) for k in tensors)


def test_what_was_read_outlives_its_file(tmp_path: Path) -> None:
    file = tmp_path / "note"
    write_tensors(file, {"a": torch.ones(4)}, {}, format=NOTE)
    _, found = read_tensors(file, NOTE)
    write_tensors(file, {"a": torch.zeros(4)}, {}, format=NOTE)
    assert torch.equal(found["a"], torch.ones(4))


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, "without a note manifest; write it again"),
        ("[1]", "not a JSON object"),
        ('{"format": "latdir.other", "version": 2}', "format 'latdir.other', not 'latdir.note'$"),
        ('{"format": "latdir.bank", "version": 1}', "DirectionBank.load reads it"),
        ('{"format": "latdir.note", "version": 3}', "format version 3; this release reads 2"),
        ('{"format": "latdir.note", "version": 1}', "its version is 1"),
        ('{"format": "latdir.note", "version": true}', "its version is True"),
        ('{"format": "latdir.note", "version": 2, "a": NaN}', "a is nan"),
    ],
)
def test_another_manifest_is_refused_with_the_class_of_the_format(
    tmp_path: Path, manifest: str | None, message: str
) -> None:
    file = tmp_path / "note"
    metadata = None if manifest is None else {"manifest": manifest}
    file.write_bytes(save({"a": torch.ones(1)}, metadata=metadata))
    with pytest.raises(SamplesError, match=message):
        read_tensors(file, NOTE)


def test_a_missing_and_a_cut_off_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "note"
    with pytest.raises(CheckpointError, match=r"there is no note file .*: check the path"):
        read_tensors(file, FileFormat("latdir.note", "note", CheckpointError))
    write_tensors(file, {"a": torch.ones(4)}, {}, format=NOTE)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(SamplesError, match=r"is not a readable note file .*; write it again"):
        read_tensors(file, NOTE)
