"""Arguments by annotation: passed on as they are, converted, or refused in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from directions import Direction, DirectionBank
from directions.arguments import checked, checked_fields, checked_kinds, checked_values, returned
from directions.classifiers.base import Classifier
from directions.errors import LatdirError, SpaceError, UnknownNameError
from directions.generators.base import Generator
from directions.planted.world import planted

UP = Direction("up", torch.tensor([0.0, 1.0]), "z")


@checked
def take(
    *,
    codes: Float[Tensor, "n d"] | None = None,
    scores: Float[Tensor, "n"] | None = None,
    count: int = 1,
    seed: int = 0,
    level: float = 0.9,
    amount: float | Tensor = 1.0,
    model: Literal["trees", "lasso"] = "trees",
    names: Sequence[str] = (),
    keys: Iterable[str] = (),
    pair: tuple[float, float] = (0.0, 1.0),
    aims: Mapping[str, float] | None = None,
    progress: bool = False,
    function: Callable[[Tensor], Tensor] | None = None,
    generator: Generator | None = None,
    classifiers: Classifier | Sequence[Classifier] | None = None,
    bank: DirectionBank | None = None,
    direction: Direction | None = None,
    free: Any = None,
) -> dict[str, Any]:
    return dict(locals())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"count": np.int64(3)}, 3),
        ({"level": np.float32(0.5)}, 0.5),
        ({"model": np.str_("lasso")}, "lasso"),
        ({"names": "yaw"}, ("yaw",)),
        ({"names": np.array(["a", "b"])}, ("a", "b")),
        ({"keys": {"a": 1, "b": 2}}, ("a", "b")),
        ({"pair": [1, 2]}, (1.0, 2.0)),
        ({"pair": np.array([1.0, 2.0])}, (1.0, 2.0)),
        ({"aims": {"a": np.float64(2)}}, {"a": 2.0}),
        ({"progress": np.bool_(True)}, True),
        ({"amount": 2}, 2.0),
    ],
)
def test_what_means_the_same_is_converted(given: dict[str, Any], expected: Any) -> None:
    (name,) = given
    found = take(**given)[name]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("codes", [[[1, 2]], np.array([[1, 2]]), ((1.0, 2.0),), [np.ones(2)]])
def test_arrays_and_lists_become_floating_point_tensors(codes: Any) -> None:
    found = take(codes=codes)["codes"]
    assert found.dtype == torch.float32
    assert found.shape == (1, 2)


def test_values_of_the_kind_are_passed_on_as_they_are() -> None:
    for name, value in {
        "codes": torch.ones(2, 3, requires_grad=True), "names": ["a"], "aims": {"a": 1.0},
        "function": len, "free": object(), "direction": UP, "generator": planted(),
    }.items():  # fmt: skip
        assert take(**{name: value})[name] is value
    assert take(codes=np.zeros((2, 3)))["codes"].dtype == torch.float64


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"codes": torch.ones(3)}, SpaceError, r"codes has shape \[3\], not \[n, d\]"),
        (
            {"codes": torch.ones(3, 2), "scores": torch.ones(4)},
            SpaceError,
            r"scores has shape \[4\], not \[n\] with n = 3 as in codes",
        ),
        ({"codes": torch.ones(3, 2).long()}, SpaceError, r"not torch.int64: use codes.float\(\)"),
        ({"codes": "z"}, SpaceError, "codes is a tensor or array, not 'z'"),
        ({"codes": [[1.0], [1.0, 2.0]]}, SpaceError, "codes is a tensor or array, not a list"),
        ({"count": 1.5}, LatdirError, r"count is a whole number, not 1\.5"),
        ({"count": True}, LatdirError, "count is a whole number, not True"),
        ({"seed": -1}, LatdirError, r"seed -1 must be in 0 … 2\*\*64 - 1"),
        ({"level": 95.0}, LatdirError, "level 95.0 must be between 0 and 1, such as 0.95"),
        ({"level": float("nan")}, LatdirError, "level is a finite number, not nan"),
        ({"model": "treas"}, UnknownNameError, "no model 'treas': did you mean 'trees'"),
        ({"names": 3}, LatdirError, "names is a list of names, not 3"),
        ({"names": ["a", 3]}, LatdirError, r"names\[1\] is text, not 3"),
        ({"names": {"a": 1}}, LatdirError, "names is a list of names, not a dict"),
        ({"pair": [1.0]}, LatdirError, "pair is 2 values, not a list"),
        ({"aims": ["a"]}, LatdirError, "aims is a dict, not a list"),
        ({"aims": {"a": "x"}}, LatdirError, r"aims\['a'\] is a number, not 'x'"),
        ({"progress": "no"}, LatdirError, "progress is True or False, not 'no'"),
        ({"function": 3}, LatdirError, "function is a function, not 3"),
        ({"amount": "2"}, LatdirError, "amount is a number or a tensor or array, not '2'"),
        ({"generator": "digiface64"}, LatdirError, r"load_generator\('digiface64'\)"),
        ({"classifiers": "faces"}, LatdirError, r"load_classifier\('faces'\)"),
        ({"classifiers": ["faces"]}, LatdirError, r"load_classifier\('faces'\)"),
        ({"bank": "smiles"}, LatdirError, "bank is 'smiles', not a bank of directions"),
        ({"bank": UP}, LatdirError, r"of no one generator: write DirectionBank.of\("),
        ({"direction": "up"}, LatdirError, "direction is 'up', not a direction: take one of"),
    ],
)
def test_the_rest_is_refused_in_one_line(given: dict, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        take(**given)


@pytest.mark.parametrize(
    ("args", "given", "message"),
    [
        (
            (),
            {"levle": 0.5},
            r"take: no argument 'levle': did you mean 'level'\? write take\(\*, co",
        ),
        ((), {"zzz": 0.5}, r"take: no argument 'zzz': write take\(\*, codes=…, scores=…, "),
        ((1,), {}, r"take: too many positional arguments; write take\(\*, codes=…"),
    ],
)
def test_a_wrong_call_is_shown_the_right_one(args: tuple, given: dict, message: str) -> None:
    with pytest.raises(LatdirError, match=message):
        take(*args, **given)


def test_directions_stand_for_a_bank_of_their_generator() -> None:
    world = planted(factors=2, dim=6)
    made = [Direction(n, t, "z") for n, t in zip("ab", world.truth, strict=True)]
    bank = take(bank=made, generator=world)["bank"]
    assert list(bank) == ["a", "b"]
    assert bank.check(world) is bank
    # Directions of a bank know their generator, so that none need be given.
    assert take(bank=bank["a"])["bank"].check(world)["a"] is bank["a"]
    assert take(direction=bank.select(["a"]))["direction"] is bank["a"]
    with pytest.raises(LatdirError, match="another generator"):
        take(bank=bank["a"], generator=planted(factors=2, dim=6, seed=1))


def test_fields_are_converted_and_may_be_nan() -> None:
    @checked_fields
    @dataclass(frozen=True)
    class Found:
        slope: float
        names: tuple[str, ...] = ()

    assert Found(np.float32(2.0), ["a"]) == Found(2.0, ("a",))
    assert np.isnan(Found(float("nan")).slope)
    with pytest.raises(LatdirError, match="slope is a number, not 'steep'"):
        Found("steep")


def test_values_and_shapes_are_looked_at_where_asked() -> None:
    def same(codes: Float[Tensor, "n d"]) -> Tensor:
        return codes

    bad = [[0.0, float("inf")]]
    with pytest.raises(LatdirError, match="codes: 1 of 2 values are NaN or infinite"):
        checked_values(same)(bad)
    assert checked(same)(bad).shape == (1, 2)
    assert checked_kinds(same)(bad[0]).shape == (2,)


def test_results_of_functions_are_checked() -> None:
    assert returned(torch.ones(2, 3), "features", "n f").shape == (2, 3)
    with pytest.raises(LatdirError, match=r"features returned shape \[2\], not a tensor \[n, f\]"):
        returned(torch.ones(2), "features", "n f")
    with pytest.raises(LatdirError, match=r"features returned a list, not a tensor \[n, \*f\]"):
        returned([1], "features", "n *f")


def test_annotations_of_submodules_that_nobody_has_imported_are_found() -> None:
    code = "import directions as d, torch; print(d.grid(torch.zeros(1, 2, 3, 16, 16)).size)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("(")
