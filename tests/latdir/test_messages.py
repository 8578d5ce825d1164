"""What the command advises in place of Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import latdir
from latdir.messages import PHRASES, in_command

ROOT = Path(latdir.__file__).parent.parent


def test_every_phrase_is_one_of_the_library() -> None:
    source = " ".join(
        " ".join(file.read_text().split()).replace('" "', "").replace('" f"', "")
        for package in ("directions", "discovery", "analysis")
        for file in (ROOT / package).rglob("*.py")
    )
    for said, _ in PHRASES:
        assert said in source, said


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("choose one with generator.with_label(0)", "one with ?label=0 after its path, such as"),
        (
            "use another unit, or calibrate it first with analysis.calibrate",
            "or take the calibrated bank.safetensors that latdir evaluate --out FOLDER writes",
        ),
        (
            "use analysis.calibrate(generator, classifier, bank) first",
            "take the calibrated bank.safetensors that latdir evaluate --out FOLDER writes",
        ),
        ("wait for it, or load them with partial=True, and", "wait for it, and"),
        (
            "rename with direction.evolve(name=…)",
            "put each file's name before its names by --prefix",
        ),
        ("to override, use bank.transfer(generator)", "name its own with --generator, or leave"),
        ("make one with discovery.sample(…, out=folder)", "with latdir sample --out FOLDER"),
        (
            "both score age: rename one's with directions.classifiers.Renamed, or leave one out",
            "both score age: leave one out",
        ),
        (
            "40 were made: in a notebook take them with `import sys; samples = "
            "sys.last_value.samples`; with out=… a run resumes where it was",
            "40 were made, and are not kept: the same command starts from the beginning",
        ),
        (
            "no scores were kept: inside `with directions.keep_scores(folder):` a measurement goes "
            "on where it was interrupted",
            "nothing was kept: the same command starts from the beginning (LATDIR_CACHE=FOLDER",
        ),
        (
            "export direction.evolve(layers=None) and repeat it",
            "keep it as .safetensors, and repeat it",
        ),
        ("see directions.classifiers.available_classifiers()", "see latdir list classifiers"),
        ("choose with attributes=[…]", "choose with --attributes NAME,NAME"),
        ("give another folder, or delete this one", "another folder with --out, or delete it"),
        ("raise it: use threshold='median', or fewer", "raise it: use --threshold median, or few"),
        ("use layers='all'", "use --layers all"),
        ("n_codes=5 is few; ambiguous=0.5 leaves one", "--n-codes 5 is few; --ambiguous 0.5 leave"),
        ("sample in w, with space='w+'", "sample in w, with --space w+"),
        # Not settings: options of a checkpoint, assignments that the user wrote.
        ("no file net.pkl?seed=3&layers=4", "no file net.pkl?seed=3&layers=4"),
        (
            "--set takes name=amount, such as smiling=2",
            "--set takes name=amount, such as smiling=2",
        ),
    ],
)
def test_advice_is_that_of_the_command(said: str, shown: str) -> None:
    assert shown in in_command(said)


def test_messages_at_the_terminal(typed, beside, tmp_path: Path) -> None:
    beside(
        "from directions.planted.world import planted\n"
        "def generator(): return planted(factors=2, dim=6, names=('age', 'smile'))\n"
        "def classifier(): return generator().classifier()\n"
    )
    own = "--generator mine:generator"
    code, _, err = typed(f"sample {own} --classifier mine:classifier --count 300 --out codes")
    assert code == 0, err
    code, _, err = typed("discover boundary --samples codes --out b.safetensors")
    assert code == 0, err
    for line, says in [
        ("bank merge b.safetensors b.safetensors --out c.safetensors", "its names by --prefix"),
        (f"edit b.safetensors {own} --set age=2 --unit years --out x.png", "latdir evaluate --out"),
        ("edit b.safetensors --generator planted --set age=2 --out x.png", "own with --generator"),
        ("discover boundary --samples codes --threshold 9 --out c.safetensors", "--threshold med"),
        ("discover pca --generator digiface64 --space q --out c.safetensors", "has no space 'q'"),
        (f"sample {own} --classifier mine:classifier --attributes agee --out d", "mean 'age'?"),
    ]:
        code, _, err = typed(line)
        assert code == 2, err
        assert says in err, err
        assert "direction.evolve" not in err
        assert "bank.transfer" not in err


STOPPING = """
import directions as d
from directions.planted.world import planted
world = planted(factors=2, dim=6)
calls = []

def generator():
    return world

def classifier():
    def score(images):
        calls.append(len(images))
        if len(calls) == 20:
            raise KeyboardInterrupt
        return images.mean((1, 2, 3))
    return d.wrap_classifier(score, attributes="level", version="1")
"""


def test_an_interrupted_command_says_what_is_kept(typed, beside) -> None:
    beside(STOPPING)
    line = "sample --generator mine:generator --classifier mine:classifier --count 2000 --out out"
    code, _, err = typed(line)
    assert code == 130
    kept = "latdir: interrupted; 1,216 of 2,000 samples are kept in out: run the same again"
    assert kept in err
    code, out, err = typed(line)
    assert code == 0, err
    assert "2000 samples" in out
