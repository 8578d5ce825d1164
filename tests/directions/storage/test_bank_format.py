"""The bank's bytes: every broken or hostile file is refused with a line that says why."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from directions import DirectionBank, LatdirError
from tests.parity import DATA

GOLDEN = DATA / "golden.bank.safetensors"


def manifest() -> dict:
    length = struct.unpack("<Q", GOLDEN.read_bytes()[:8])[0]
    header = json.loads(GOLDEN.read_bytes()[8 : 8 + length])
    return json.loads(header["__metadata__"]["manifest"])


def written(path: Path, text: str | None, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    if tensors is None:
        tensors = {
            f"vector.{i}": d.vector for i, d in enumerate(DirectionBank.load(GOLDEN).directions)
        }
    path.write_bytes(save(tensors, metadata=None if text is None else {"manifest": text}))
    return path


def with_entry(**changes: object) -> str:
    content = manifest()
    content["directions"][0] |= changes
    return json.dumps(content)


def with_header(**changes: object) -> str:
    return json.dumps(manifest() | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "without a bank manifest"),
        ("", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("nonsense", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        ('{"a":' * 20_000 + "1" + "}" * 20_000, "not a JSON object"),
        (with_header(provenance={"x": json.loads("[" * 500 + "]" * 500)}), "nested over 32 levels"),
        ('{"version": ' + "9" * 5000 + "}", "not a JSON object"),
        (with_header(version=2), "format version 2; this release reads 1"),
        (with_header(version="1"), "version"),
        (with_header(format="other"), "is a file of format 'other', not 'latdir.bank'"),
        (with_header(fingerprint="xyz"), "fingerprint: String should match"),
        (with_header(surprise=1), "surprise: Extra inputs are not permitted"),
        (with_header(directions=[]), "lists 0 directions but it holds 2 tensors"),
        (with_header(directions={}), "directions: Input should be a valid"),
        (with_entry(sigma=0.0), r"directions\.0\.sigma: Input should be greater than 0"),
        (with_entry(sigma="1.0"), r"directions\.0\.sigma: Input should be a valid number"),
        (with_entry(sigma=float("nan")), r"directions\[0\]\.sigma is nan"),
        (with_entry(sigma=None), r"directions\.0\.sigma"),
        (with_entry(offset=float("inf")), r"directions\[0\]\.offset is inf"),
        (with_entry(evidence={"a": float("nan")}), r"evidence\.a is nan"),
        (with_entry(name=""), r"directions\.0\.name"),
        (with_entry(name="Ällter – σ"), "is broken: a bank's names differ"),
        (with_entry(layers=[0, 0]), "is broken: .* distinct numbers from 0"),
        (with_entry(layers=[-1]), r"directions\.0\.layers\.0"),
        (with_entry(layers=[1.5]), r"directions\.0\.layers\.0"),
        (with_entry(calibration={"attribute": "a"}), r"calibration\.unit: Field required"),
        (with_entry(space="w+"), "is broken: .* both live in space 'w\\+'"),
    ],
)
def test_a_broken_manifest_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    with pytest.raises(LatdirError, match=message):
        DirectionBank.load(written(tmp_path / "a.safetensors", text))


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (
            torch.tensor([0.6, -0.8, 0.0], dtype=torch.float64),
            "is stored as torch.float64",
        ),
        (
            torch.tensor([0.6, -0.8, 0.0], dtype=torch.float16),
            "is stored as torch.float16",
        ),
        (torch.tensor([1, 0, 0]), "vector.0 is stored as torch.int64"),
        (torch.tensor([float("nan"), 0, 1]), "NaN or infinite coordinates"),
        (torch.tensor([1.0, 1.0, 0]), "has norm 1.41421, not 1"),
        (torch.zeros(0), "has norm 0, not 1"),
        (torch.tensor(1.0), "a vector of torch.float32 and shape \\[\\]"),
    ],
)
def test_broken_vectors_are_refused(tmp_path: Path, first: torch.Tensor, message: str) -> None:
    tensors = {"vector.0": first, "vector.1": DirectionBank.load(GOLDEN).directions[1].vector}
    with pytest.raises(LatdirError, match=message):
        DirectionBank.load(written(tmp_path / "a.safetensors", with_header(), tensors))


def test_misnamed_vectors_are_refused(tmp_path: Path) -> None:
    tensors = {
        "vector.0": DirectionBank.load(GOLDEN).directions[0].vector,
        "vector.7": torch.ones(1),
    }
    with pytest.raises(LatdirError, match="lists 2 directions but it holds 2 tensors"):
        DirectionBank.load(written(tmp_path / "a.safetensors", with_header(), tensors))


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**40, 2**63, 2**64 - 1])
def test_a_lying_header_length_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", length) + GOLDEN.read_bytes()[8:])
    with pytest.raises(LatdirError, match="is not a readable bank file"):
        DirectionBank.load(path)


def test_a_lying_tensor_size_is_refused(tmp_path: Path) -> None:
    header = {"vector.0": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    text = json.dumps(header | {"__metadata__": {"manifest": with_header()}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(LatdirError, match="is not a readable bank file"):
        DirectionBank.load(path)


def test_other_paths_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing", tmp_path / "nul\0byte"):
        with pytest.raises(LatdirError, match="there is no bank file"):
            DirectionBank.load(path)
    text = tmp_path / "notes.txt"
    text.write_text("not a bank at all")
    with pytest.raises(LatdirError, match="is not a readable bank file"):
        DirectionBank.load(text)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole, path = GOLDEN.read_bytes(), tmp_path / "a.safetensors"
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(LatdirError):
            DirectionBank.load(path)


def test_flipped_bits_are_refused_or_harmless(tmp_path: Path) -> None:
    whole, path = GOLDEN.read_bytes(), tmp_path / "a.safetensors"
    rng = random.Random(0)
    refused = 0
    for position in rng.sample(range(len(whole) * 8), 1500):
        broken = bytearray(whole)
        broken[position // 8] ^= 1 << position % 8
        path.write_bytes(broken)
        try:
            bank = DirectionBank.load(path)
        except LatdirError:
            refused += 1
        else:
            # What still loads is a bank in every respect: it can be used and saved again.
            assert all(abs(float(d.vector.norm()) - 1) < 1e-3 for d in bank.directions)
            bank.save(tmp_path / "again.safetensors")
    assert refused > 500


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    rng, path = random.Random(1), tmp_path / "a.safetensors"
    for size in [0, 1, 7, 8, 9, 64, 1000]:
        for _ in range(20):
            path.write_bytes(rng.randbytes(size))
            with pytest.raises(LatdirError):
                DirectionBank.load(path)
