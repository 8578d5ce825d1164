"""The bank and its file: round trips, golden bytes, refusals."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch

from directions import Calibration, Direction, DirectionBank, LatdirError, table
from directions.planted.world import planted
from tests.parity import DATA

GOLDEN = DATA / "golden.bank.safetensors"
GOLDEN_SHA256 = "2dc53b41cce1cbe1f7230390b5f3b495e79ea4f70596a2a210285690f556f875"


def golden() -> DirectionBank:
    """The bank that the golden file holds, made from its parts."""
    smile = Direction(
        "smiling",
        torch.tensor([0.6, -0.8, 0.0]),
        "z",
        method="boundary",
        config={"estimator": "ridge", "C": 1.0},
        offset=-0.25,
        sigma=1.0,
        calibration=Calibration("smiling", "probability", 0.125, -2.5, 3.0),
        evidence={"accuracy": 0.96875, "rows": [70, 30], "null": None},
    )
    layered = Direction(
        "Ällter – σ",
        torch.tensor([[0.5, 0.5], [0.5, -0.5]]),
        "w+",
        layers=(1,),
        sigma=0.0625,
    )
    provenance = {"seed": 7, "note": "made by hand"}
    return DirectionBank((smile, layered), "toy", "0123456789abcdef" * 4, provenance)


def assert_same(a: DirectionBank, b: DirectionBank) -> None:
    assert list(a) == list(b)
    assert (a.generator, a.fingerprint, a.provenance) == (b.generator, b.fingerprint, b.provenance)
    for x, y in zip(a.directions, b.directions, strict=True):
        torch.testing.assert_close(x.vector, y.vector, rtol=0, atol=0)
        for name in ("name", "space", "method", "config", "layers", "offset", "sigma"):
            assert getattr(x, name) == getattr(y, name)
        assert x.calibration == y.calibration
        assert x.evidence == y.evidence


def test_saving_gives_the_golden_bytes(tmp_path: Path) -> None:
    path = golden().save(tmp_path / "a.safetensors")
    assert path.read_bytes() == GOLDEN.read_bytes()
    assert hashlib.sha256(GOLDEN.read_bytes()).hexdigest() == GOLDEN_SHA256


def test_the_golden_file_loads_as_it_was_made() -> None:
    assert_same(DirectionBank.load(GOLDEN), golden())


def test_a_second_round_trip_changes_no_byte(tmp_path: Path) -> None:
    DirectionBank.load(GOLDEN).save(tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == GOLDEN.read_bytes()


def test_many_directions_keep_their_order(tmp_path: Path) -> None:
    vectors = torch.nn.functional.normalize(torch.randn(25, 8, dtype=torch.float64), dim=1)
    bank = DirectionBank(
        tuple(Direction(f"d{24 - i}", v, "z") for i, v in enumerate(vectors)), "toy", "0" * 64
    )
    loaded = DirectionBank.load(bank.save(tmp_path / "many.safetensors"))
    assert list(loaded) == list(bank)
    torch.testing.assert_close(loaded.matrix(), vectors.float(), rtol=0, atol=0)


def test_an_empty_bank_round_trips(tmp_path: Path) -> None:
    bank = DirectionBank((), "toy", "0" * 64)
    assert len(DirectionBank.load(bank.save(tmp_path / "empty.safetensors"))) == 0
    with pytest.raises(LatdirError, match="an empty bank has no matrix"):
        bank.matrix()


def test_loaded_vectors_outlive_the_file_being_overwritten(tmp_path: Path) -> None:
    path = golden().save(tmp_path / "a.safetensors")
    loaded = DirectionBank.load(path)
    path.write_bytes(b"\0" * 16)
    assert_same(loaded, golden())


def test_numpy_scalars_are_stored_as_numbers(tmp_path: Path) -> None:
    d = golden()["smiling"].evolve(evidence={"auc": np.float32(0.5), "n": np.int64(3)})
    bank = golden().replaced([d])
    loaded = DirectionBank.load(bank.save(tmp_path / "a.safetensors"))
    assert loaded["smiling"].evidence == {"auc": 0.5, "n": 3}


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        ({"auc": float("nan")}, r"direction 'smiling'\.evidence\.auc is nan"),
        ({"a": [{"b": float("inf")}]}, r"direction 'smiling'\.evidence\.a\[0\]\.b is inf"),
        ({"v": torch.zeros(2)}, r"evidence\.v is a Tensor, .*use \.tolist\(\)"),
        ({"a": {1: 2}}, "has the key 1, but JSON keys are text"),
        ({"s": "\ud800"}, "not valid Unicode"),
        ({"s": {3, 4}}, r"evidence\.s is a set"),
    ],
)
def test_what_json_cannot_hold_is_refused(tmp_path: Path, evidence: dict, message: str) -> None:
    bank = golden().replaced([golden()["smiling"].evolve(evidence=evidence)])
    with pytest.raises(LatdirError, match=message):
        bank.save(tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_bottomless_evidence_is_refused(tmp_path: Path) -> None:
    loop: dict = {}
    loop["again"] = loop
    with pytest.raises(LatdirError, match="nested over 32 levels"):
        golden().replaced([golden()["smiling"].evolve(evidence=loop)]).save(tmp_path / "a")


# Another generator


def test_a_bank_is_refused_with_another_generator(tmp_path: Path) -> None:
    mine, other = planted(seed=0), planted(seed=1)
    bank = DirectionBank((Direction("a", mine.truth[0], "z"),), mine.name, mine.fingerprint)
    path = bank.save(tmp_path / "a.safetensors")
    assert list(DirectionBank.load(path, mine)) == ["a"]
    with pytest.raises(LatdirError, match=r"made for planted .* not for planted .*bank.transfer"):
        DirectionBank.load(path, other)


def test_transfer_keeps_the_former_owner() -> None:
    mine, copy = planted(seed=0), planted(seed=1)
    bank = DirectionBank((Direction("a", mine.truth[0], "z"),), mine.name, mine.fingerprint)
    moved = bank.transfer(copy)
    assert moved.check(copy) is moved
    assert moved.provenance["transferred_from"]["fingerprint"] == mine.fingerprint
    with pytest.raises(LatdirError, match=r"shape \[32\], but space 'z' of planted has \[16\]"):
        bank.transfer(planted(dim=16))
    with pytest.raises(LatdirError, match="has no space 'w'"):
        bank.replaced([bank["a"].evolve(space="w")]).transfer(copy)


# The collection


def test_names_are_looked_up_with_a_hint() -> None:
    bank = golden()
    with pytest.raises(LatdirError, match="no direction 'smilin' in this bank: did you mean 'smil"):
        bank["smilin"]
    with pytest.raises(KeyError):
        bank["nothing"]
    assert bank.get("nothing") is None
    assert "smiling" in bank
    with pytest.raises(LatdirError, match="no direction 'x'"):
        bank.select(["smiling", "x"])
    assert list(bank.select(["Ällter – σ", "smiling"])) == ["Ällter – σ", "smiling"]


def test_a_long_list_of_names_is_cut_short() -> None:
    eye = torch.eye(30)
    bank = DirectionBank(tuple(Direction(f"n{i}", eye[i], "z") for i in range(30)), "t", "0" * 64)
    with pytest.raises(LatdirError, match=r"n19, … \(30 in all\)$"):
        bank["zebra"]


def test_a_bank_refuses_what_cannot_be_one_bank() -> None:
    a = Direction("a", torch.tensor([1.0, 0.0]), "z")
    with pytest.raises(LatdirError, match="names differ, but a occurs twice"):
        DirectionBank((a, a), "toy", "0" * 64)
    with pytest.raises(LatdirError, match=r"'a' and 'b' both live in space 'z'.*\[2\] and \[3\]"):
        DirectionBank((a, Direction("b", torch.eye(3)[0], "z")), "toy", "0" * 64)
    with pytest.raises(LatdirError, match="64 hexadecimal digits, not 'abc'"):
        DirectionBank((a,), "toy", "abc")
    with pytest.raises(LatdirError, match="spaces w, z make no one matrix"):
        DirectionBank((a, a.evolve(name="b", space="w")), "toy", "0" * 64).matrix()


def test_banks_merge_only_within_a_generator() -> None:
    bank = golden()
    merged = bank.merge(bank, prefix="other ")
    assert list(merged) == [*bank, *(f"other {n}" for n in bank)]
    with pytest.raises(LatdirError, match="occurs twice"):
        bank.merge(bank)
    with pytest.raises(LatdirError, match=r"belong to different generators: toy .* and planted"):
        bank.merge(DirectionBank((), "planted", "f" * 64))


def test_the_table_says_what_a_bank_holds() -> None:
    text = golden().summary()
    assert text.splitlines()[0] == "2 directions of toy (0123456789ab…)"
    assert "smiling +0.125 probability" in text
    assert "accuracy 0.969" in text
    assert "w+ layers 1" in text
    assert "sigma" in golden()._repr_html_()
    nasty = golden()["smiling"].evolve(name="<script>alert(1)</script>")
    html = golden().replaced([nasty])._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_notebook_completes_the_names_of_a_bank_and_joins_two() -> None:
    bank = golden()
    assert bank._ipython_key_completions_() == ["smiling", "Ällter – σ"]
    first, second = bank.select(["smiling"]), bank.select(["Ällter – σ"])
    assert list(first | second) == list(bank)
    with pytest.raises(LatdirError, match="smiling occurs twice"):
        _ = bank | first


def test_the_table_shows_the_cone_before_other_evidence() -> None:
    evidence = {"accuracy": 0.9, "auc": 0.8, "rank": 0.7, "cone_degrees": 12.25}
    bank = golden().replaced([golden()["smiling"].evolve(evidence=evidence)])
    assert "cone_degrees 12.2, accuracy 0.9, auc 0.8" in bank.summary()


def test_a_bank_is_a_data_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {"pyarrow": pyarrow}

    def imported(name: str) -> Any:
        if name not in found:
            raise ModuleNotFoundError(name)
        return found[name]

    monkeypatch.setattr(table.importlib, "import_module", imported)
    # An Arrow table where pandas is missing.
    frame = golden().to_frame()
    assert frame.column_names[:3] == ["direction", "space", "layers"]
    assert frame["accuracy"].to_pylist() == [0.96875, None]
    assert frame["per_sigma"].to_pylist() == [0.125, None]
    # With pandas its own class, made of the same columns.
    found["pandas"] = SimpleNamespace(DataFrame=lambda columns: columns)
    assert golden().to_frame()["layers"] == [None, "1"]


def test_long_tables_of_a_notebook_are_cut_and_say_so() -> None:
    html = table.html_table("a", ["x"], [(i,) for i in range(1000)])
    assert html.count("<tr>") == 61
    assert "1000 rows in all: to_frame()" in html
