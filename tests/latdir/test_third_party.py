"""Methods of other distributions, found by their entry points."""

import json
from pathlib import Path

import pytest

from directions.errors import LatdirError
from discovery.registry import describe, find_method, methods

TOY = '''
from dataclasses import dataclass
from typing import ClassVar

from directions import Direction, DirectionBank
from discovery.base import GeneratorMethod


@dataclass(frozen=True)
class Toy(GeneratorMethod):
    """The first coordinate axis.

    Attributes:
        length: Its sigma.
    """

    length: float = 1.0
    method: ClassVar[str] = "toy"

    def discover(self, generator, *, seed=0):
        vector = generator.sample(1, seed=seed)[0] * 0
        vector[0] = 1
        made = Direction("axis", vector, "z", method="toy", config=self.config, sigma=self.length)
        return DirectionBank((made,), generator.name, generator.fingerprint, {"seed": seed})


not_a_method = 3
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that is installed beside this one."""
    facts = tmp_path / "toys-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[latdir.methods]\ntoy = toy_method:Toy\nwrong = toy_method:not_a_method\n"
        "pca = toy_method:Toy\n"
    )
    (tmp_path / "toy_method.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_method_of_another_distribution_is_found(toy: None) -> None:
    assert find_method("toy").__name__ == "Toy"
    assert [s.name for s in describe("toy").settings] == ["length"]
    assert find_method("pca").__module__ == "discovery.unsupervised.pca"
    with pytest.raises(LatdirError, match="toy_method:not_a_method is no method: derive it from"):
        methods()
    with pytest.raises(LatdirError, match=r"no method 'magic': there are boundary, .*, toy, wrong"):
        find_method("magic")


def test_its_flags_are_on_the_command(toy: None, typed, tmp_path: Path) -> None:
    facts = tmp_path / "toys-1.0.dist-info" / "entry_points.txt"
    facts.write_text("[latdir.methods]\ntoy = toy_method:Toy\n")
    code, out, err = typed("list methods --json")
    assert code == 0, err
    assert json.loads(out)["methods"]["toy"].startswith("The first coordinate axis")
    code, out, err = typed("discover toy --generator planted --length 2 --out t.safetensors --json")
    assert code == 0, err
    assert json.loads(out)["directions"][0]["sigma"] == 2.0
