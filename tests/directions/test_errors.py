"""Each exception is raised where its fault is found, and all are LatdirErrors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import directions
from directions import Direction, DirectionBank, load_classifier, load_generator
from directions.errors import LatdirError
from discovery import Samples, find_method

TREE = (
    "BankError",
    "CheckpointError",
    "ConvergenceError",
    "InfeasibleError",
    "SamplesError",
    "SpaceError",
    "UnknownNameError",
)


def _bank() -> DirectionBank:
    return DirectionBank((Direction("up", torch.eye(2)[0], "z"),), "toy", "0" * 64)


def _samples() -> object:
    from directions.classifiers import Attribute

    return Samples(
        codes=torch.zeros(2, 3),
        scores=torch.full((2, 1), torch.nan),
        attributes=(Attribute("a"),),
        space="z",
        seed=0,
        generator="toy",
        fingerprint="0" * 64,
        classifier="toy",
        classifier_fingerprint="0" * 64,
    )


@pytest.mark.parametrize("name", TREE)
def test_every_class_is_public_and_a_latdir_error(name: str) -> None:
    found = getattr(directions, name)
    assert name in directions.__all__
    assert issubclass(found, LatdirError)
    assert issubclass(found, ValueError)


@pytest.mark.parametrize(
    ("kind", "text", "call"),
    [
        ("SpaceError", "does not fit codes", lambda: _bank()["up"].shift(torch.zeros(1, 3), 1.0)),
        (
            "SpaceError",
            "has no map from",
            lambda: load_generator("styleface64").map(
                torch.zeros(1, load_generator("styleface64").space("w").size), "w", "z"
            ),
        ),
        ("UnknownNameError", "no direction 'down'", lambda: _bank()["down"]),
        ("UnknownNameError", "no generator 'nothing'", lambda: load_generator("nothing")),
        ("UnknownNameError", "no classifier 'nothing'", lambda: load_classifier("nothing")),
        ("UnknownNameError", "no method 'nothing'", lambda: find_method("nothing")),
        ("UnknownNameError", "no space 'q'", lambda: load_generator("digiface64").space("q")),
        ("CheckpointError", "no such file", lambda: load_generator("nothing.pkl")),
        ("BankError", "no bank file", lambda: DirectionBank.load("nothing.safetensors")),
        ("BankError", "made for toy", lambda: _bank().check(load_generator("digiface64"))),
        ("SamplesError", "are NaN or infinite", _samples),
    ],
)
def test_a_fault_raises_the_class_that_is_named_after_it(
    kind: str, text: str, call: Callable[[], object]
) -> None:
    with pytest.raises(LatdirError, match=text) as met:
        call()
    assert type(met.value) is getattr(directions, kind)


def test_an_unknown_name_reads_as_its_message_though_it_is_a_key_error() -> None:
    with pytest.raises(KeyError) as met:
        _bank()["down"]
    assert str(met.value).startswith("no direction 'down' in this bank")


def test_a_damaged_bank_is_a_bank_error(tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(directions.BankError, match="not a readable bank file"):
        DirectionBank.load(path)
