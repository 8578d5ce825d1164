"""The built-in weights: names, verification, expansion of quantized values."""

from __future__ import annotations

import hashlib
import json
from importlib import resources

import pytest
import torch
from safetensors.torch import load as parse
from safetensors.torch import save

from directions import LatdirError, zoo

FOLDER = resources.files("directions.zoo")


def test_every_weight_file_is_the_one_that_was_built() -> None:
    assert zoo.names()[0] == "digiface64"
    for entry in json.loads(FOLDER.joinpath("manifest.json").read_text()).values():
        data = FOLDER.joinpath(entry["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]


def test_weights_are_finite_float32_without_denormals() -> None:
    for name in zoo.names():
        for key, tensor in zoo.load(name).items():
            assert tensor.dtype == torch.float32, key
            assert torch.isfinite(tensor).all(), key
            assert ((tensor == 0) | (tensor.abs() >= 1e-20)).all(), key
            assert not key.endswith(zoo.AFFINE)


def test_every_model_has_a_card_and_a_license() -> None:
    for name in zoo.names():
        folder = name.split("/")[0]
        assert zoo.card(name).startswith(f"# {folder}\n")
        assert "Permission is hereby granted" in FOLDER.joinpath(folder, "LICENSE").read_text()


def test_quantized_weights_are_expanded_as_the_package_does() -> None:
    stored = parse(FOLDER.joinpath("faces/expression.safetensors").read_bytes())
    key = "dense0.conv1.pointwise.weight"
    assert stored[key].dtype == torch.uint8
    scale, minimum = stored[key + zoo.AFFINE].tolist()
    flat, expanded = stored[key].flatten().tolist(), zoo.load("faces/expression")[key].flatten()
    slow = torch.tensor([value * scale + minimum for value in flat], dtype=torch.float64).float()
    assert torch.equal(slow, expanded)


def test_unknown_and_broken_weights_are_refused(monkeypatch, tmp_path) -> None:
    with pytest.raises(
        LatdirError, match="no built-in weights 'stylegan9': there are digiface64, "
    ):
        zoo.load("stylegan9")
    good = {"w": torch.tensor([1.0, 1e-30])}
    (tmp_path / "w.safetensors").write_bytes(save(good))
    entry = {"file": "w.safetensors", "sha256": hashlib.sha256(save(good)).hexdigest()}
    (tmp_path / "manifest.json").write_text(
        json.dumps({"good": entry, "other": {**entry, "sha256": "0" * 64}, "gone": {"file": "x"}})
    )
    monkeypatch.setattr(zoo.resources, "files", lambda _: tmp_path)
    assert zoo.load("good")["w"].tolist() == [1.0, 0.0]
    with pytest.raises(
        LatdirError,
        match=r"directions/zoo/w\.safetensors, the weights of 'other', does not have the sha256 it "
        r"was built with: install the package again",
    ):
        zoo.load("other")
    with pytest.raises(LatdirError, match="directions/zoo/x, the weights of 'gone', is missing"):
        zoo.load("gone")
