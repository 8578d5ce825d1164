"""Methods, generators and classifiers of other distributions, found by their entry points."""

import json
import sys
from pathlib import Path

import pytest

from directions import load_classifier, load_generator
from directions.classifiers import CLASSIFIERS, available_classifiers
from directions.errors import LatdirError, UnknownNameError
from directions.generators import available_generators
from directions.plugins import installed
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
    with pytest.raises(
        LatdirError, match="toy_method:not_a_method is not a method: derive it from"
    ):
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


MODELS = """
from directions import wrap_classifier
from directions.planted.world import planted as make

def worlds():
    return make(seed=7)

def bright():
    mean = lambda images: images.mean((1, 2, 3))[:, None]
    return wrap_classifier(mean, attributes=["mean"], name="bright")

def wrong():
    return 3
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = tmp_path / "models-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: models\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[latdir.generators]\nworlds = toy_models:worlds\nplanted = toy_models:wrong\n"
        "wrong = toy_models:wrong\ngone = no_such_module:make\n"
        "[latdir.classifiers]\nbright = toy_models:bright\n"
    )
    (tmp_path / "toy_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_models", raising=False)


def test_generators_and_classifiers_of_another_distribution_load_by_name(models: None) -> None:
    generator = load_generator("worlds")
    assert generator.fingerprint != load_generator("planted").fingerprint
    both = load_classifier("bright+pixels")
    assert both.names[0] == "mean"
    assert both(generator.synthesize(generator.sample(2, seed=0))).shape == (2, 5)
    with pytest.raises(LatdirError, match="wrong made a int, not a Generator"):
        load_generator("wrong")
    with pytest.raises(UnknownNameError, match=r"no generator at 'gone' .*no_such_module"):
        load_generator("gone")
    with pytest.raises(UnknownNameError, match=r"there are digiface64, .*worlds, wrong, gone;"):
        load_generator("nothing")


def test_listing_them_imports_none(models: None, typed) -> None:
    assert available_generators()["worlds"].summary == "of the package models"
    assert available_generators()["planted"].location == "directions.planted.world:planted"
    assert set(available_classifiers()) == {*CLASSIFIERS, "bright"}
    code, out, err = typed("list generators --json")
    assert code == 0, err
    assert json.loads(out)["generators"]["gone"] == "of the package models"
    assert "toy_models" not in sys.modules
    assert installed("latdir.generators", ("worlds", "wrong", "gone", "planted")) == {}
