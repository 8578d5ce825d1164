"""The command, as a person types it: what it prints, writes and refuses."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import directions.inversion.conditional.learner as learner
import latdir
from directions import DirectionBank, save_png
from discovery import METHODS, find_method
from latdir.executing import Executing
from tests.turned import Turned

HELP = ("discover --help", "discover pca --help", "discover clip_mapper --help")

OWN = """
from directions.planted.world import planted

def generator():
    return planted(factors=3, dim=12, cosine=0.4, names=("age", "smile", "yaw"))

def classifier():
    return generator().classifier()

def not_a_generator():
    return 3
"""


@pytest.fixture
def run(typed, beside):
    """Type a command in a folder that holds the user's own module; (exit code, out, err)."""
    beside(OWN)
    return typed


@pytest.fixture
def bank(run, tmp_path: Path) -> Path:
    """A bank of the user's own generator, made by the command."""
    sample = "sample --generator mine:generator --classifier mine:classifier"
    assert run(f"{sample} --count 600 --out codes")[0] == 0
    code, _, err = run("discover boundary --samples codes --out found.safetensors")
    assert code == 0, err
    return tmp_path / "found.safetensors"


def test_sampling_reports_what_it_labeled(run, tmp_path: Path) -> None:
    code, out, _ = run(
        "sample --generator mine:generator --classifier mine:classifier "
        "--count 600 --out codes --json"
    )
    said = json.loads(out)
    assert code == 0
    assert said["count"] == 600
    assert set(said["attributes"]) == {"age", "smile", "yaw"}
    assert (tmp_path / "codes" / "_manifest.json").is_file()


def test_the_main_job_with_a_generator_of_ones_own(run, bank: Path, tmp_path: Path) -> None:
    assert list(DirectionBank.load(bank)) == ["age", "smile", "yaw"]

    code, out, _ = run("bank show found.safetensors --json")
    assert code == 0
    assert [d["direction"] for d in json.loads(out)["directions"]] == ["age", "smile", "yaw"]

    own = "--generator mine:generator"
    code, _, err = run(f"bank condition found.safetensors --out clean.safetensors {own}")
    assert code == 0, err
    measured = f"bank condition found.safetensors --out seen.safetensors {own} --json"
    code, out, err = run(
        f"{measured} --labelers mine:classifier --judge faces --direction smile --on yaw"
    )
    assert code == 0, err
    assert json.loads(out)["labelers"] == ["planted"]
    assert json.loads(out)["kept"]["smile"] > 0.8
    freed = DirectionBank.load(tmp_path / "seen.safetensors")["smile"].evidence["disentangled"]
    assert freed["held"] == ["yaw"]
    turned = f"bank orthonormalize found.safetensors --out turned.safetensors {own} --json"
    code, out, err = run(f"{turned} --order lowdin")
    assert code == 0, err
    rows = DirectionBank.load(tmp_path / "turned.safetensors").matrix()
    assert float((rows @ rows.T).fill_diagonal_(0).abs().max()) < 1e-5
    assert all(0.9 < cosine < 0.999 for cosine in json.loads(out)["cosines"].values())
    code, out, err = run(
        f"effects clean.safetensors {own} --classifier mine:classifier --count 32 --json"
    )
    assert code == 0, err
    effects = json.loads(out)
    for row, name in enumerate(effects["directions"]):
        sizes = [abs(x) for x in effects["standardized"][row]]
        target = [a["name"] for a in effects["attributes"]].index(name)
        leak = max(x for i, x in enumerate(sizes) if i != target)
        assert sizes[target] > 0.5
        assert leak < 0.1 * sizes[target]

    code, _, err = run(f"edit clean.safetensors --sweep smile --out strip.png {own}")
    assert code == 0, err
    code, _, err = run(f"edit clean.safetensors --set smile=2 --set yaw=-1 --out both.png {own}")
    assert code == 0, err
    with Image.open(tmp_path / "strip.png") as strip, Image.open(tmp_path / "both.png") as both:
        assert strip.width > both.width

    code, _, err = run(
        f"report clean.safetensors {own} --classifier mine:classifier --count 16 --out r.html"
    )
    assert code == 0, err
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "smile" in page
    assert "https://" not in page


def test_flags_of_a_method_reach_it(run, bank: Path, tmp_path: Path) -> None:
    code, _, err = run(
        "discover boundary --samples codes --attributes yaw --estimator lda --threshold 0.25 "
        "--out one.safetensors"
    )
    assert code == 0, err
    loaded = DirectionBank.load(tmp_path / "one.safetensors")
    assert list(loaded) == ["yaw"]
    assert loaded["yaw"].config["estimator"] == "lda"
    assert loaded["yaw"].config["threshold"] == 0.25


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_its_flags(run, method: str) -> None:
    code, out, err = run(f"discover {method} --help")
    assert code == 0, err
    for field in dataclasses.fields(find_method(method)):
        if field.name not in find_method(method)().config:
            shown = f"--{field.name.replace('_', '-')} " in out
            assert shown == (field.name == "executor")
            continue
        assert f"--{field.name.replace('_', '-')[:10]}" in out


def test_workers_of_a_method_reach_it(run, tmp_path: Path, monkeypatch) -> None:
    made: list[Executing] = []
    monkeypatch.setattr(Executing, "made", lambda where: made.append(where) or Turned())
    wanted = "discover pca --generator mine:generator --n-codes 500 --batch-size 100 "
    for flags in ("--workers 2 --out there.safetensors", "--out here.safetensors"):
        code, _, err = run(wanted + flags)
        assert code == 0, err
    assert made == [Executing(workers=2), Executing()]
    there, here = (DirectionBank.load(tmp_path / f"{n}.safetensors") for n in ("there", "here"))
    assert torch.equal(there.matrix(), here.matrix())


def test_a_method_without_labels_runs(run, tmp_path: Path) -> None:
    code, _, err = run(
        "discover pca --generator mine:generator --n-codes 2000 --n-directions 3 "
        "--out p.safetensors"
    )
    assert code == 0, err
    assert len(DirectionBank.load(tmp_path / "p.safetensors")) == 3


def test_a_training_goes_on_from_its_checkpoint(run, tmp_path: Path) -> None:
    line = "discover latent_clr --generator mine:generator --n-directions 2 --checkpoint kept "
    assert run(f"{line} --steps 2 --out a.safetensors")[0] == 0
    assert run(f"{line} --steps 2 --out b.safetensors")[0] == 0
    banks = [DirectionBank.load(tmp_path / f"{name}.safetensors") for name in "ab"]
    assert (banks[0].matrix() == banks[1].matrix()).all()
    code, _, err = run(f"{line} --steps 3 --out c.safetensors")
    assert code == 2
    assert "kept keeps a training with steps 2, and this one has 3" in err


def test_an_encoder_is_trained_and_inverts(run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(learner, "HELD_OUT", 2)
    monkeypatch.setattr(learner, "SAMPLES", 4)
    line = "train encoder --generator mine:generator --steps 2 --batch-size 2 --width 4 "
    code, out, err = run(f"{line} --out e.safetensors --checkpoint kept --json")
    assert code == 0, err
    assert [row["step"] for row in json.loads(out)["progress"]] == [0, 1, 2]
    assert (tmp_path / "kept").exists()
    code, _, err = run(f"{line} --out e.safetensors/e.safetensors")
    assert (code, "cannot make the folder e.safetensors" in err) == (2, True)
    code, _, err = run(f"{line} --out e.safetensors --recipe e5e")
    assert (code, "no encoder recipe 'e5e'" in err) == (2, True)
    save_png(torch.zeros(3, 16, 16), tmp_path / "me.png")
    line = "invert me.png --generator mine:generator --align center --out pair.png --json"
    code, out, err = run(f"{line} --encoder e.safetensors")
    assert code == 0, err
    assert json.loads(out)["photographs"][0]["start"] in ("encoded", "restart 1", "restart 2")
    code, _, err = run(f"{line} --encoder digiface64")
    assert (code, "digiface64" in err) == (2, True)
    line = (
        "train conditional --generator mine:generator --encoder e.safetensors --out c.safetensors"
    )
    code, _, err = run(f"{line} --targets 10")
    assert (code, "--targets takes two numbers, such as 10,70, not '10'" in err) == (2, True)
    code, out, err = run(f"{line} --steps 1 --batch-size 2 --width 4 --json")
    assert code == 0, err
    assert [row["step"] for row in json.loads(out)["progress"]] == [0, 1]
    code, _, err = run("train details --layer none --generator mine:generator "
        "--encoder e.safetensors --out d.safetensors")  # fmt: skip
    assert (code, "layer" in err) == (2, True), err
    code, _, err = run("train hypernetwork --generator mine:generator --encoder e.safetensors "
        "--out h.safetensors")  # fmt: skip
    assert (code, "has no weights that can be tuned" in err) == (2, True)


def test_merge_and_convert(run, bank: Path, tmp_path: Path) -> None:
    code, out, err = run("bank merge found.safetensors found.safetensors --out two.safetensors")
    assert code == 2
    assert "occurs twice" in err
    bank.rename(tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes())
    code, out, _ = run("bank merge a.safetensors b.safetensors --prefix --out two.safetensors")
    assert code == 0
    assert "6 directions" in out

    code, out, err = run("bank convert a.safetensors --out given.pt")
    assert code == 0, err
    code, _, err = run(
        "bank convert given.pt --generator mine:generator --space z --out again.safetensors"
    )
    assert code == 0, err
    before = DirectionBank.load(tmp_path / "a.safetensors")
    after = DirectionBank.load(tmp_path / "again.safetensors")
    assert float((before.matrix() - after.matrix()).abs().max()) < 1e-6


@pytest.mark.parametrize("kind", ["generators", "classifiers", "methods"])
def test_lists(run, kind: str) -> None:
    code, out, _ = run(f"list {kind} --json")
    assert code == 0
    assert len(json.loads(out)[kind]) >= 2


def test_the_version(run) -> None:
    assert run("--version") == (0, f"latdir {latdir.__version__}\n", "")


@pytest.mark.parametrize("line", ["--help", "list methods", "evaluate --help", *HELP])
def test_help_and_lists_import_no_networks_and_no_figures(line: str) -> None:
    code = (
        "import sys; from latdir.cli import main\n"
        f"sys.argv = ['latdir', *{line.split()!r}]\n"
        "try: main()\nexcept SystemExit as stop: assert not stop.code\n"
        "print([m for m in ('torch', 'numpy', 'matplotlib', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sample --generator nope --out x", "no generator 'nope'"),
        ("sample --generator mine:nope --out x", "no generator at 'mine:nope'"),
        ("sample --generator mine:not_a_generator --out x", "made a int, not a Generator"),
        ("sample --count many --out x", "--count takes a whole number or 'auto', not 'many'"),
        ("sample --classifier cats --out x", "no classifier 'cats'"),
        ("bank show nothing.safetensors", "there is no bank file nothing.safetensors"),
        ("bank show mine.py", "is not a"),
        ("bank convert x.npy --out y.safetensors", "does not say which generator"),
        ("edit found.safetensors --out x.png", "choose an edit"),
        ("discover boundary --samples nowhere --out x.safetensors", "nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run, line: str, says: str) -> None:
    code, out, err = run(line)
    assert code == 2
    assert out == ""
    assert says in err
    assert err.startswith("latdir: ")
    assert err.count("\n") == 1


def test_mistakes_with_a_bank_at_hand(run, bank: Path) -> None:
    own = "--generator mine:generator"
    for line, says in [
        (f"edit found.safetensors --sweep grin {own} --out x.png", "no direction 'grin' in this"),
        (f"edit found.safetensors --set smile {own} --out x.png", "--set takes name=amount"),
        (f"edit found.safetensors --set smile=big {own} --out x.png", "takes numbers, not 'big'"),
        ("edit found.safetensors --sweep smile --generator planted --out x.png", "was made for"),
        (f"effects found.safetensors {own} --out x.gif", "figures are written as png, pdf, svg"),
        ("discover boundary --samples codes --attributes nose --out x.safetensors", "'nose'"),
    ]:
        code, _, err = run(line)
        assert code == 2, line
        assert says in err


def test_labels_of_ones_own_become_samples(run, tmp_path: Path) -> None:
    rows = [f"0,{i},{i % 3 == 0:d},{i / 7}" for i in range(60)]
    (tmp_path / "mine.csv").write_text("\n".join(["seed,index,glasses,length", *rows]))
    command = "samples import mine.csv --generator mine:generator --out labels"
    code, out, err = run(f"{command} --json")
    assert code == 0, err
    assert json.loads(out)["attributes"]["glasses"]["mean"] == pytest.approx(1 / 3)
    code, _, err = run("discover boundary --samples labels --out mine.safetensors")
    assert code == 0, err
    assert list(DirectionBank.load(tmp_path / "mine.safetensors")) == ["glasses", "length"]
    code, _, err = run(command)
    assert (code, "holds samples already: choose another folder" in err) == (2, True)
    code, _, err = run("samples import mine.txt --out other")
    assert (code, "labels are read from .csv and .parquet files" in err) == (2, True)
    code, _, err = run("samples import other.csv --out other")
    assert (code, "other.csv cannot be read" in err) == (2, True)


@pytest.mark.parametrize(
    ("typed_so_far", "offered"), [("dis", "discover"), ("discover bou", "boundary")]
)
def test_the_shell_completes_commands_and_methods(typed_so_far: str, offered: str) -> None:
    words = ["latdir", *typed_so_far.split()]
    asked = {
        "_LATDIR_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    code = "import sys; sys.argv[0] = 'latdir'; from latdir.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True
    )
    assert offered in done.stdout.split()
