"""`latdir evaluate`, `compare` and `report`: what they print and write."""

import csv
import json
from pathlib import Path

import pyarrow.parquet
import pytest
import torch

from directions import DirectionBank, condition
from directions.planted.world import planted
from latdir.output import write_table
from tests.analysis.measured import bank_of, true_bank

OWN = """
from directions.planted.world import planted

def generator():
    return planted(factors=3, dim=12, cosine=0.4, names=("age", "smile", "yaw"))

def classifier():
    made = generator().classifier()
    made.embed = lambda images: made(images)
    return made

def judge():
    return generator().classifier(kind="probability")
"""
MINE = "--generator mine:generator --classifier mine:classifier"


@pytest.fixture(scope="module")
def generator():
    return planted(factors=3, dim=12, cosine=0.4, names=("age", "smile", "yaw"))


@pytest.fixture
def run(typed, beside):
    """Type a command in a folder that holds the user's own module; (exit code, out, err)."""
    beside(OWN)
    return typed


def test_evaluate_writes_tables_and_a_calibrated_bank(run, generator, tmp_path: Path) -> None:
    true_bank(generator).save(tmp_path / "true.safetensors")
    code, out, err = run(
        f"evaluate true.safetensors {MINE} --count 24 --null 3 --realism 16 "
        "--tables parquet --out there --json"
    )
    assert code == 0, err
    said = json.loads(out)
    by_name = {row["direction"]: row for row in said["directions"]}
    assert by_name["smile"]["attribute"] == "smile"
    assert by_name["smile"]["per_sigma"] == pytest.approx(1, abs=0.02)
    assert by_name["smile"]["misses_by_sd"] < 0.02
    # Cosine 0.4: the others follow by that much, in their own spread.
    assert 0.25 < by_name["smile"]["mean_ad_at_one_sd"] < 0.6
    assert by_name["smile"]["frechet_excess"] > 1
    assert said["consistency"]["edits"] == ["age", "smile", "yaw"]
    assert max(said["consistency"]["disagreement"]) < 1e-3
    there = tmp_path / "there"
    assert json.loads((there / "evaluation.json").read_text())["directions"] == said["directions"]
    effects = pyarrow.parquet.read_table(there / "effects.parquet").to_pylist()
    assert len(effects) == 9
    cell = next(r for r in effects if (r["direction"], r["attribute"]) == ("age", "yaw"))
    assert cell["per_sigma"] == pytest.approx(0.4, abs=0.02)
    assert cell["target"] is False
    assert cell["low"] <= cell["per_sigma"] <= cell["high"]
    calibrated = DirectionBank.load(there / "bank.safetensors")
    assert calibrated["yaw"].calibration.per_sigma == pytest.approx(1, abs=0.02)


def test_evaluate_shows_a_table_and_its_remarks(run, generator, tmp_path: Path) -> None:
    pc = bank_of(generator, pc=generator.truth[0] + generator.truth[1])
    pc.save(tmp_path / "pc.safetensors")
    code, out, err = run(f"evaluate pc.safetensors {MINE} --count 16 --null 3 --out t")
    assert code == 0, err
    assert "pc moves" in out
    with (tmp_path / "t" / "directions.csv").open() as file:
        [row] = csv.DictReader(file)
    # A direction that aims at nothing has no figures of its own, and nothing breaks.
    assert (row["direction"], row["attribute"], row["per_sigma"]) == ("pc", "", "")


@pytest.mark.parametrize("command", ["effects", "evaluate --null 3", "report --out r.html"])
def test_the_attributes_are_those_the_bank_is_about(run, generator, tmp_path, command) -> None:
    def shown(*more: str) -> str:
        name, *flags = command.split()
        line = f"{name} some.safetensors {MINE} --count 8 {' '.join((*flags, *more))}"
        code, out, err = run(line)
        assert code == 0, err
        return str(out)

    def left_out(*more: str) -> list[str]:
        found: list[str] = json.loads(shown("--json", *more))["left_out"]
        return found

    bank = true_bank(generator)
    bank.select(["age", "yaw"]).save(tmp_path / "some.safetensors")
    assert left_out() == ["smile"]
    assert "not about them: smile (--attributes all)" in " ".join(shown().split())
    assert left_out("--attributes", "all") == []
    if command == "effects":
        assert "smile" in shown("--attributes", "all")
        assert "yaw" not in shown("--attributes", "age,smile").splitlines()[2]
    if command.startswith("report"):
        return  # what follows is of the bank, whatever the command, and a page takes two seconds
    # What a direction was conditioned on counts, and one attribute alone is not enough.
    clean = condition(bank, on={"age": ["smile"]}, prior=generator.prior())
    clean.select(["age"]).save(tmp_path / "some.safetensors")
    assert left_out() == ["yaw"]
    bank.select(["age"]).save(tmp_path / "some.safetensors")
    assert left_out() == []


def test_a_judge_sees_what_the_classifier_sees(run, generator, tmp_path: Path) -> None:
    true_bank(generator).save(tmp_path / "true.safetensors")
    judged = f"{MINE} --judge mine:judge --count 24 --judge-names yaw=turn"
    code, out, err = run(f"effects true.safetensors {judged} --json")
    assert code == 0, err
    said = json.loads(out)
    assert [a["name"] for a in said["judge"]["attributes"]] == ["age", "smile"]
    assert said["judge"]["mean"][1][1] > 0
    assert "planted" in run(f"effects true.safetensors {judged}")[1]
    code, out, err = run(f"evaluate true.safetensors {judged} --null 3 --json")
    assert code == 0, err
    said = json.loads(out)
    assert [r["judge_rises"] for r in said["directions"]] == [1.0, 1.0, None]
    assert said["judge"]["rows"][0]["ratio"] == pytest.approx(1, abs=0.05)
    code, out, err = run(f"report true.safetensors {judged} --out page.html")
    assert code == 0, err
    assert "A second opinion" in (tmp_path / "page.html").read_text(encoding="utf-8")
    for wrong, said in (
        ("--judge-names yaw=turn", "--judge-names yaw=turn needs a judge: give --judge NAME too"),
        ("--judge mine:judge --judge-names yaw", "--judge-names takes old=new"),
        ("--judge mine:classifier", "which is the labeler or a part of it"),
    ):
        code, _, err = run(f"effects true.safetensors {MINE} {wrong}")
        assert code == 2
        assert said in " ".join(err.split())


def test_compare_writes_one_table_and_one_figure(run, generator, tmp_path: Path) -> None:
    noise = torch.randn(generator.truth.shape, generator=torch.Generator().manual_seed(0))
    rough = generator.truth + 0.6 * noise / 12**0.5
    true_bank(generator).save(tmp_path / "true.safetensors")
    bank_of(generator, **dict(zip(generator.names, rough, strict=True))).save(
        tmp_path / "rough.safetensors"
    )
    code, out, err = run(
        f"compare true.safetensors rough.safetensors {MINE} --judge mine:judge --count 24 "
        "--attributes smile,yaw --out both.csv --out both.parquet --out both.svg --json"
    )
    assert code == 0, err
    said = json.loads(out)
    assert [(r["method"], r["attribute"]) for r in said["rows"]] == [
        ("true", "smile"), ("true", "yaw"), ("rough", "smile"), ("rough", "yaw"),
    ]  # fmt: skip
    assert said["judge"] == "planted"
    assert said["rows"][0]["judged"] == pytest.approx(1, abs=0.05)
    overall = said["overall"]["leakage"]
    leaked = [r["leakage"] for r in said["rows"][2:]]
    assert overall["rough"]["mean"] == pytest.approx(sum(leaked) / 2)
    with (tmp_path / "both.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[2]["leakage"]) == pytest.approx(said["rows"][2]["leakage"])
    columns = pyarrow.parquet.read_table(tmp_path / "both.parquet").to_pydict()
    assert columns["leakage"] == [r["leakage"] for r in said["rows"]]
    assert (tmp_path / "both.svg").read_text().count("<svg") == 1
    code, out, err = run(f"compare true.safetensors rough.safetensors {MINE} --count 16")
    assert code == 0, err
    assert out.count("smile") == 2
    assert out.count(" all ") == 2


def test_report_says_its_remarks_as_json(run, generator, tmp_path: Path) -> None:
    true_bank(generator).save(tmp_path / "true.safetensors")
    code, out, err = run(f"report true.safetensors {MINE} --count 12 --out r.html --json")
    assert code == 0, err
    said = json.loads(out)
    assert said["report"] == "r.html"
    assert any("Only 12 codes were measured" in r["text"] for r in said["remarks"])
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for heading in ("Editing accuracy", "Combination of edits"):
        assert heading in page
    assert "Realism of edited images" not in page


def test_tables_keep_what_is_not_there_apart_from_zero(tmp_path: Path) -> None:
    columns = {"name": ["a, b", "c"], "value": [None, 0.0]}
    text = write_table(tmp_path / "t.csv", columns).read_text()
    assert text.splitlines() == ['"name","value"', '"a, b",', '"c",0']
    assert json.loads(write_table(tmp_path / "t.json", columns).read_text()) == [
        {"name": "a, b", "value": None},
        {"name": "c", "value": 0.0},
    ]
    back = pyarrow.parquet.read_table(write_table(tmp_path / "t.parquet", columns))
    assert back.to_pydict() == columns


def test_mistakes(run, generator, tmp_path: Path) -> None:
    true_bank(generator).save(tmp_path / "true.safetensors")
    (tmp_path / "far").mkdir()
    true_bank(generator).save(tmp_path / "far" / "true.safetensors")
    for line, says in [
        (f"evaluate true.safetensors {MINE} --tables xlsx", "tables are written as csv, parquet"),
        (f"compare true.safetensors {MINE} --out x.gif", "a comparison is written as csv, parquet"),
        (f"compare true.safetensors far/true.safetensors {MINE}", "two of the bank files have the"),
        (f"compare true.safetensors {MINE} --attributes nose", "no attribute 'nose'"),
        (f"evaluate none.safetensors {MINE}", "there is no bank file none.safetensors"),
    ]:
        code, out, err = run(line)
        assert code == 2, line
        assert says in err
        assert out == ""
