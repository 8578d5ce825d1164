"""Paths along gradients of attributes told from the code."""

from __future__ import annotations

import pytest
import torch

from directions.classifiers.base import Attribute
from directions.errors import LatdirError
from directions.paths import CodeGradientPath, load_path
from directions.paths.code_gradient import Readout
from discovery import GradCtrl, Samples
from tests.worlds import labeled, world


def scored(codes):
    """One attribute is curved and shares a coordinate with the other."""
    return torch.stack([codes[:, 0] + 0.6 * codes[:, 1].square(), codes[:, 1]], 1)


def samples_of(codes, scores):
    attributes = (Attribute("a", unit="years"), Attribute("b"))
    return Samples(codes, scores, attributes, "z", "toy", "0" * 64, "c", "1" * 64, seed=0)


def drawn(n=2000, seed=0):
    codes = torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))
    return codes, scored(codes)


@pytest.fixture(scope="module")
def paths():
    return GradCtrl(steps=200).train(samples_of(*drawn()))


def test_readout_s_gradients_are_autograd_s_and_held_ones_vanish():
    rng = torch.Generator().manual_seed(0)
    sizes = (3, 6), (4, 6), (4,), (3, 4)
    readout = Readout(*(torch.randn(*s, generator=rng).double() for s in sizes))
    x = torch.randn(5, 6, generator=rng).double()
    want = torch.func.vmap(torch.func.jacrev(lambda v: readout.values(v[None])[0]))(x)
    torch.testing.assert_close(readout.gradients(x), want)
    held, free = (readout.field(x, 1, hold=hold) for hold in (True, False))
    along = (want @ held[:, :, None])[:, :, 0]
    assert along[:, [0, 2]].abs().max() < 1e-10
    assert (along[:, 1] > 0.01).all()
    torch.testing.assert_close(free, torch.nn.functional.normalize(want[:, 1], dim=1))


def test_an_attribute_changes_by_its_unit_and_the_other_holds(paths):
    codes, scores = drawn(500, seed=7)
    change = scored(paths["a"].shift(codes, 1.0, unit="years")) - scores
    assert float(change[:, 0].mean()) == pytest.approx(1, abs=0.15)
    assert change[:, 1].abs().mean() < 0.1
    free = GradCtrl(steps=200, hold=False).train(samples_of(*drawn()))["a"]
    moved = scored(free.shift(codes, 1.0)) - scores
    assert moved[:, 1].abs().mean() > 0.2  # it goes where the attribute rises fastest
    assert moved[:, 0].mean() > change[:, 0].mean()
    told = torch.corrcoef(torch.stack([paths["a"].told(codes)[:, 0], scores[:, 0]]))[0, 1]
    assert told > 0.9
    each = torch.linspace(-1, 1, 500)
    moved = paths["a"].shift(codes, each)
    torch.testing.assert_close(moved[99:100], paths["a"].shift(codes[99:100], float(each[99])))
    back = paths["a"].shift(paths["a"].shift(codes, 1.0), -1.0)
    assert (back - codes).norm(dim=1).median() < 1e-3


def test_in_planted_worlds_the_other_factors_hold():
    generator = world("everything", dim=12, factors=3)
    samples = labeled(generator, generator.classifier(), 3000)
    codes = generator.sample(64, seed=9)
    before = generator.factors(codes)
    for k, path in enumerate(GradCtrl(steps=150).train(samples).values()):
        change = (generator.factors(path.shift(codes, 1.0)) - before).mean(0)
        others = [j for j in range(3) if j != k]
        assert change[k] > 0.2
        assert change[others].abs().max() < 0.3 * change[k]


def test_files_and_runs_are_the_same_again(paths, tmp_path):
    codes, scores = drawn()
    again = load_path(paths["a"].save(tmp_path / "a"))
    assert torch.equal(again.shift(codes, 1.0), paths["a"].shift(codes, 1.0))
    samples, method = samples_of(codes, scores), GradCtrl(steps=4)
    kept = method.train(samples, checkpoint=tmp_path / "run")["b"]
    for run in (None, tmp_path / "run"):
        found = method.train(samples, checkpoint=run)["b"]
        assert torch.equal(found.shift(codes, 1.0), kept.shift(codes, 1.0))


def test_bad_input_is_named(paths):
    codes, scores = drawn(300)
    with pytest.raises(LatdirError, match="codes of 2 numbers leave no step that holds 1 of 2 at"):
        GradCtrl(steps=1).train(samples_of(codes[:, :2], scores))
    with pytest.raises(LatdirError, match="attribute 'b' is constant"):
        GradCtrl(steps=1).train(samples_of(codes, scores * torch.tensor([1.0, 0.0])))
    with pytest.raises(LatdirError, match=r"validation is a fraction between 0 and 1, not 1\.0"):
        GradCtrl(validation=1.0)
    with pytest.raises(LatdirError, match="rate 0 must be above 0"):
        GradCtrl(rate=0.0)
    with pytest.raises(LatdirError, match="has no unit 'm': use sigma, latent, attribute, years"):
        paths["a"].shift(codes, 1.0, unit="m")
    with pytest.raises(LatdirError, match="moves codes of 5 numbers, not 4"):
        paths["a"].shift(codes[:, :4], 1.0)
    readout = paths["a"].readout
    with pytest.raises(LatdirError, match="has no attribute 'c': it has a, b"):
        CodeGradientPath("c", "z", ("a", "b"), True, 1.0, 1.0, 1.0, "", torch.zeros(5), readout,
                         "toy", "0" * 64)  # fmt: skip
    with pytest.raises(LatdirError, match="with codes of 4 numbers and 2 attributes they must be"):
        CodeGradientPath("a", "z", ("a", "b"), True, 1.0, 1.0, 1.0, "", torch.zeros(4), readout,
                         "toy", "0" * 64)  # fmt: skip
    with pytest.raises(LatdirError, match="a response is not zero"):
        CodeGradientPath("a", "z", ("a", "b"), True, 1.0, 1.0, 0.0, "", torch.zeros(5), readout,
                         "toy", "0" * 64)  # fmt: skip
