"""Calls that people write at first: the right result, or one line that says what to write."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import directions as d
import discovery
from analysis import measure_effects
from directions.classifiers import Attribute
from directions.planted.world import planted
from tests.analysis.measured import true_bank
from tests.unchecked import unchecked
from tests.worlds import labeled

QUIET = d.Rendering(progress=False)


@pytest.fixture(scope="module")
def w(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A generator of three attributes, and everything made of it."""
    generator = planted(factors=3, dim=12, size=16, names=("smile", "age", "hat"))
    classifier, bank = generator.classifier(), true_bank(generator)
    effects = measure_effects(generator, classifier, bank, count=16, rendering=QUIET)
    return SimpleNamespace(
        generator=generator, classifier=classifier, bank=bank, effects=effects,
        samples=labeled(generator, classifier, 60), codes=generator.sample(3, seed=1),
        net=nn.Linear(3, 3), folder=tmp_path_factory.mktemp("wrong"),
    )  # fmt: skip


def sampled(w: SimpleNamespace, **given: Any) -> discovery.Samples:
    """`sample` with one argument in place of the right one."""
    right = {"generator": w.generator, "classifiers": w.classifier, "count": 6, "seed": 0}
    return discovery.sample(**{**right, "rendering": QUIET, **given})


def samples(w: SimpleNamespace, **given: Any) -> discovery.Samples:
    """`Samples` of labels of one's own, made by hand."""
    random = torch.Generator().manual_seed(0)
    right = {
        "codes": torch.randn(60, 12, generator=random), "attributes": (Attribute("x"),),
        "scores": torch.rand(60, 1, generator=random), "generator": w.generator.name,
        "fingerprint": w.generator.fingerprint, "classifier": "me", "seed": None, "space": "z",
        "classifier_fingerprint": "0" * 64,
    }  # fmt: skip
    return discovery.Samples(**{**right, **given})


def solved(w: SimpleNamespace, **given: Any) -> d.Solution:
    return d.solve(w.bank, targets={"smile": 0.3}, **{"effects": w.effects, **given})


def wrapped(made: Callable[[torch.Tensor], Any]) -> d.generators.Generator:
    return d.wrap(made, latent_dim=4, name="mine")


class Conditional(nn.Module):
    def forward(self, codes, c):
        return codes[:, :3, None, None].expand(-1, 3, 8, 8)


def zeros(*shape: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda codes: torch.zeros(len(codes), *shape)


TAKEN: dict[str, tuple[Callable[[SimpleNamespace], Any], Callable[[SimpleNamespace], Any]]] = {
    "NumPy's count": (lambda w: len(sampled(w, count=np.int64(20))), lambda w: 20),
    "NumPy's seed": (
        lambda w: sampled(w, seed=np.int64(3)).codes,
        lambda w: sampled(w, seed=3).codes,
    ),
    "one attribute": (lambda w: sampled(w, attributes="age").names, lambda w: ("age",)),
    "one name of scores": (
        lambda w: d.wrap_classifier(len, attributes="redness").names,
        lambda w: ("redness",),
    ),
    "samples of arrays": (
        lambda w: samples(w, codes=np.ones((60, 12)), scores=np.ones((60, 1))).codes,
        lambda w: torch.ones(60, 12, dtype=torch.float64),
    ),
    "names of scores": (lambda w: samples(w, attributes=["x"]).names, lambda w: ("x",)),
    "moved arrays": (
        lambda w: d.move(w.codes.numpy(), w.bank, {"smile": 1.0}),
        lambda w: d.move(w.codes, w.bank, {"smile": 1.0}),
    ),
    "images of arrays": (
        lambda w: w.generator.synthesize(w.codes.numpy()),
        lambda w: w.generator.synthesize(w.codes),
    ),
    "a grid of arrays": (
        lambda w: d.edit_grid(w.generator, w.codes.numpy(), w.bank["age"]).tobytes(),
        lambda w: d.edit_grid(w.generator, w.codes, w.bank["age"]).tobytes(),
    ),
    "a vector as an array": (
        lambda w: d.Direction.from_vector("a", np.ones(4, np.float32), space="z").vector,
        lambda w: torch.full((4,), 0.5),
    ),
    "a vector as a list": (
        lambda w: d.Direction.from_vector("a", [1.0] * 4, space="z").vector,
        lambda w: torch.full((4,), 0.5),
    ),
    "effects as measured": (
        lambda w: solved(w).amounts["smile"],
        lambda w: solved(
            w, effects=w.effects.standardized, attributes=list(w.bank)
        ).amounts["smile"],
    ),
    "one name held": (
        lambda w: solved(w, hold="age").amounts["age"],
        lambda w: solved(w, hold=["age"]).amounts["age"],
    ),
    "amounts in a list": (
        lambda w: d.move(w.codes, w.bank, {"age": [1.0, 2.0, 3.0]}),
        lambda w: d.move(w.codes, w.bank, {"age": torch.tensor([1.0, 2.0, 3.0])}),
    ),
    "directions in a list": (
        lambda w: d.edit_grid(w.generator, w.codes, [w.bank["age"], w.bank["hat"]]).size,
        lambda w: d.edit_grid(w.generator, w.codes, w.bank.select(["age", "hat"])).size,
    ),
    "one row of images": (
        lambda w: d.grid(w.generator.synthesize(w.codes)).tobytes(),
        lambda w: d.grid(w.generator.synthesize(w.codes)[None]).tobytes(),
    ),
    "a picture as a tensor": (
        lambda w: d.save_png(torch.zeros(3, 8, 8), w.folder / "a.png").read_bytes()[1:4],
        lambda w: b"PNG",
    ),
    "images in NumPy": (
        lambda w: wrapped(lambda z: zeros(3, 8, 8)(z).numpy()).image_shape,
        lambda w: (3, 8, 8),
    ),
    "images in a tuple": (
        lambda w: wrapped(lambda z: (zeros(3, 8, 8)(z), z)).image_shape,
        lambda w: (3, 8, 8),
    ),
    "a classifier in training mode": (
        lambda w: d.wrap_classifier(
            nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(192, 1)).train(), attributes="a"
        )(torch.zeros(1, 3, 8, 8)).shape,
        lambda w: (1, 1),
    ),
}  # fmt: skip

GENERATOR = r"generator is .*, not a generator: write directions\."
CLASSIFIER = r"classifier is .*, not a classifier: write directions\."
REFUSED: dict[str, tuple[Callable[[SimpleNamespace], Any], str]] = {
    "a generator's name": (
        lambda w: sampled(w, generator="digiface64"),
        GENERATOR + r"load_generator\('digiface64'\)",
    ),
    "a module": (lambda w: sampled(w, generator=w.net), GENERATOR + r"wrap\("),
    "a classifier's name": (
        lambda w: sampled(w, classifiers="faces"),
        CLASSIFIER + r"load_classifier\('faces'\)",
    ),
    "a function": (lambda w: sampled(w, classifiers=zeros(1)), CLASSIFIER + r"wrap_classifier\("),
    "a count of True": (lambda w: sampled(w, count=True), "count is a whole number .*, not True"),
    "half a seed": (lambda w: sampled(w, seed=1.5), r"^seed is a whole number, not 1\.5$"),
    "no seed": (
        lambda w: discovery.sample(w.generator, w.classifier, 6),
        r"sample: missing .*'seed'; write sample\(generator, classifiers, count, \*, seed, out=…",
    ),
    "a mistyped argument": (
        lambda w: sampled(w, sede=3), "no argument 'sede': did you mean 'seed'\\? write sample"
    ),
    "arguments by place": (
        lambda w: d.import_bank("x.npy", w.generator, "w"),
        r"too many positional arguments; write import_bank\(path, \*, generator, space",
    ),
    "an unknown attribute": (
        lambda w: sampled(w, attributes="redness"),
        "no attribute 'redness': it has smile, age, hat",
    ),
    "an attribute twice": (
        lambda w: discovery.Boundary().discover(w.samples, attributes=["age", "age"]),
        "attributes has 'age' twice: leave one out",
    ),
    "scores in one dimension": (
        lambda w: samples(w, scores=torch.rand(60)), r"scores has shape \[60\], not \[n, k\]"
    ),
    "a generator for samples": (
        lambda w: discovery.Boundary().discover(w.generator),
        r"takes labeled samples: .*; not a PlantedGenerator",
    ),
    "samples for a generator": (
        lambda w: discovery.PCA().discover(w.samples), "takes a generator: .*; not a Samples"
    ),
    "an amount in words": (
        lambda w: d.move(w.codes, w.bank, {"age": "2"}), r"amounts\['age'\] is a number, .*'2'"
    ),
    "an amount of None": (
        lambda w: d.move(w.codes, w.bank, {"age": None}), r"amounts\['age'\] is a number, .*None"
    ),
    "equal codes": (
        lambda w: discovery.Boundary().discover(samples(w, codes=torch.ones(60, 12))),
        "all 60 codes are equal",
    ),
    "codes out of all proportion": (
        lambda w: discovery.Boundary().discover(samples(w, codes=w.samples.codes * 1e20)),
        "cannot be squared in torch.float32",
    ),
    "an unknown name held": (lambda w: solved(w, hold="contrast"), "no effect on 'contrast'"),
    "a name twice": (
        lambda w: d.condition(w.bank, on={"age": ["hat", "hat"]}, prior=w.generator.prior()),
        "the names have 'hat' twice: leave one out",
    ),
    "a threshold above all scores": (
        lambda w: discovery.Boundary(threshold=99.0).discover(w.samples),
        "all 60 scores of 'smile' are at or below the threshold 99",
    ),
    "a conditional module": (
        lambda w: d.wrap(Conditional(), latent_dim=4, name="mine"),
        r"'c'\); give the class of a conditional generator with label=…, .* with kwargs=",
    ),
    "images in a dict": (
        lambda w: wrapped(lambda z: {"rgb": zeros(3, 8, 8)(z)}),
        r"gave a dict.* write wrap\(…, output=lambda made: made\['rgb'\]\)",
    ),
    "channels last": (lambda w: wrapped(zeros(8, 8, 3)), r"write wrap\(…, output='nhwc'\)"),
    "four channels": (lambda w: wrapped(zeros(4, 8, 8)), r"output=lambda made: made\[:, :3\]"),
    "noise of its own": (
        lambda w: wrapped(lambda z: torch.rand(len(z), 3, 8, 8)), "other images of the same codes"
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", TAKEN)
def test_what_means_the_same_is_taken(call: str, w: SimpleNamespace) -> None:
    made, expected = TAKEN[call]
    with unchecked():
        found, right = made(w), expected(w)
    if isinstance(right, torch.Tensor):
        torch.testing.assert_close(found, right)
    else:
        assert found == right


@pytest.mark.parametrize("call", REFUSED)
def test_what_does_not_is_refused_in_one_line(call: str, w: SimpleNamespace) -> None:
    made, says = REFUSED[call]
    with unchecked(), pytest.raises(d.LatdirError, match=says) as refused:
        made(w)
    assert "\n" not in str(refused.value)


def test_attributes_are_made_of_names_and_of_nothing_else(w: SimpleNamespace) -> None:
    declared = Attribute("x", "probability")
    assert samples(w, attributes=(declared,)).attributes == (declared,)
    with unchecked(), pytest.raises(d.LatdirError, match=r"attributes\[0\] is 3: write Attribute"):
        samples(w, attributes=(3,))
