"""Texts at the command line, with a generator and a model of words of one's own."""

import pytest
from PIL import Image

from directions import DirectionBank

OWN = """
from directions.planted.world import planted
from directions.planted.clip import PlantedClip

def generator():
    return planted(factors=3, dim=12, cosine=0.4, names=("smile", "age", "yaw"))

def clip():
    return PlantedClip(generator())

def nothing():
    return 3
"""
MINE = "--generator mine:generator --clip mine:clip --neutral nothing"


@pytest.fixture
def run(typed, beside):
    """Type a command, texts after it, beside the user's own module; (exit code, out, err)."""
    beside(OWN)
    return lambda *words, line="": typed(line, *words)


def test_directions_of_texts(run, tmp_path):
    line = f"discover clip_boundary {MINE} --n-codes 500 --out a.safetensors"
    code, out, err = run("--text", "a smile", "--text", "old=age vs no age", line=line)
    assert code == 0, err
    assert "smile" in out
    bank = DirectionBank.load(tmp_path / "a.safetensors")
    assert list(bank) == ["smile", "old"]
    assert bank["old"].evidence["neutral"] == "no age"

    line = f"discover clip_gradient {MINE} --n-codes 40 --out b.safetensors"
    code, out, err = run("--text", "a smile", "--without", "age", "--without", "yaw", line=line)
    assert code == 0, err
    bank = DirectionBank.load(tmp_path / "b.safetensors")
    assert list(bank) == ["smile"]
    assert bank["smile"].evidence["disentangled"]["held"] == ["age", "yaw"]


def test_edits_by_texts(run, tmp_path):
    code, out, err = run(
        "--text", "a smile", line=f"edit {MINE} --amounts 0,2 --count 2 --out e.png"
    )
    assert code == 0, err
    assert out.strip() == "e.png"
    with Image.open(tmp_path / "e.png") as picture:
        assert picture.width > picture.height / 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("edit --text smile --sweep smile --out e.png", "choose an edit"),
        ("edit bank.safetensors --text smile --out e.png", "--text finds its own directions"),
        ("edit --sweep smile --out e.png", "name the bank that the direction is in"),
        (f"edit --text nothing {MINE} --out e.png", "'nothing' is the neutral text as well"),
        ("edit --text smile --clip mine:nothing --out e.png", "made a int, which has not all of"),
        ("edit --text smile --clip mine:nope --out e.png", "no CLIP at 'mine:nope'"),
        ("edit --text smile --clip ViT-Z/1 --out e.png", "no CLIP 'ViT-Z/1'"),
        (
            f"discover clip_boundary --text hat {MINE} --n-codes 50 --out b.safetensors",
            "cannot distinguish 'hat'",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run, line, says):
    code, out, err = run(line=line)
    assert code == 2
    assert out == ""
    assert says in err
    assert err.count("\n") == 1
