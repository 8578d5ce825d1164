"""Flows whose coordinates are attributes: curved ones are found, and labels may be missing."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from directions.classifiers.base import Attribute
from directions.errors import LatdirError
from directions.paths import load_path
from directions.paths.flows.published import PluGeNFlow
from discovery import PluGeN, Samples
from discovery.learned.plugen import plugen_nats
from tests.parity import fixture
from tests.worlds import labeled, world

SMALL = {"steps": 200, "hidden": 16, "rate": 5e-3}


def curved(n=3000, seed=0):
    """Codes whose first attribute is curved, and its second its neighbor."""
    codes = torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))
    scores = torch.stack([codes[:, 0] + 0.6 * codes[:, 1].square(), codes[:, 2]], 1)
    return codes, scores


def samples_of(codes, scores):
    attributes = (Attribute("a", unit="years"), Attribute("b"))
    return Samples(codes, scores, attributes, "w", "toy", "0" * 64, "c", "1" * 64, seed=0)


@pytest.fixture(scope="module")
def paths():
    return PluGeN(**SMALL).train(samples_of(*curved()))


def scored(codes):
    return torch.stack([codes[:, 0] + 0.6 * codes[:, 1].square(), codes[:, 2]], 1)


def test_a_curved_attribute_becomes_a_coordinate(paths):
    codes, scores = curved(2000, seed=7)
    path = paths["a"]
    told = torch.corrcoef(torch.stack([path.coordinates(codes)[:, 0], scores[:, 0]]))[0, 1]
    line = torch.corrcoef(torch.stack([codes[:, 0], scores[:, 0]]))[0, 1]
    assert told > 0.95 > 0.85 > line
    change = scored(path.shift(codes, 1.0, unit="years")) - scores
    assert float(change[:, 0].mean()) == pytest.approx(1.0, abs=0.3)
    assert change[:, 1].mean().abs() < 0.05
    both = [p.shift(q.shift(codes, 1.0), 1.0) for p, q in ((path, paths["b"]),
                                                           (paths["b"], path))]  # fmt: skip
    torch.testing.assert_close(*both, atol=1e-4, rtol=0)
    torch.testing.assert_close(path.shift(path.shift(codes, 2.0), -2.0), codes, atol=1e-4, rtol=0)


def test_missing_labels_are_not_looked_at(paths):
    codes, scores = curved()
    known = torch.rand(len(codes), 2, generator=torch.Generator().manual_seed(1)) < 0.5
    spoiled = torch.where(known, scores, 1e3 * scores.flip(0))
    some, clean = (
        PluGeN(**SMALL | {"steps": 10}).train(samples_of(codes, labels), known=known)["a"]
        for labels in (spoiled, torch.where(known, scores, 0.5))
    )
    assert torch.equal(some.shift(codes, 1.0), clean.shift(codes, 1.0))
    some = PluGeN(**SMALL).train(samples_of(codes, spoiled), known=known)["a"]
    new, truth = curved(2000, seed=7)
    told = torch.corrcoef(torch.stack([some.coordinates(new)[:, 0], truth[:, 0]]))[0, 1]
    assert told > 0.93


def test_files_runs_and_checkpoints_are_the_same_again(paths, tmp_path):
    codes, scores = curved()
    path = load_path(paths["a"].save(tmp_path / "a"))
    assert torch.equal(path.shift(codes, 1.0), paths["a"].shift(codes, 1.0))
    assert path.units == paths["a"].units
    samples = samples_of(codes, scores)
    method = PluGeN(**{**SMALL, "steps": 5})
    kept = method.train(samples, checkpoint=tmp_path / "run")["a"]
    for again in (
        method.train(samples)["a"],
        method.train(samples, checkpoint=tmp_path / "run")["a"],
    ):
        assert torch.equal(again.shift(codes, 1.0), kept.shift(codes, 1.0))
    with pytest.raises(LatdirError, match=r"keeps a training with attributes \['a', 'b'\], and"):
        method.train(samples, attributes=["a"], checkpoint=tmp_path / "run")


def test_in_planted_worlds_the_other_factors_hold():
    generator = world("entangled", dim=12, factors=3)
    samples = labeled(generator, generator.classifier(), 3000)
    codes = generator.sample(64, seed=9)
    before = generator.factors(codes)
    for k, path in enumerate(PluGeN(**SMALL).train(samples).values()):
        change = (generator.factors(path.shift(codes, 1.0)) - before).mean(0)
        others = [j for j in range(3) if j != k]
        assert change[k] > 0.3
        assert change[others].abs().max() < 0.25 * change[k]


def test_log_likelihood_and_gradients_are_the_official_ones():
    tensors = load_file(fixture("learned_plugen") / "reference.safetensors")
    state = {
        n.removeprefix("const."): t.clone().requires_grad_()
        for n, t in tensors.items()
        if n.startswith("const.coupling_layers.")
    }
    flow, adam = PluGeNFlow(state), torch.optim.Adam(state.values(), lr=1e-4)
    k, d = 4, 16
    for step in range(3):
        w, a = (tensors[f"train.{n}.{step}"] for n in ("w", "a"))
        sigma = 0.4 * 0.999**step
        z = flow.forward(w[:, 0])
        constant = d * torch.log(torch.tensor(2 * torch.pi)) / 2
        nats = plugen_nats(z, z.new_zeros(len(z)), a, torch.full((k,), sigma)).mean() + constant
        adam.zero_grad()
        nats.backward()
        length = torch.nn.utils.clip_grad_norm_(state.values(), 1.0)
        adam.step()
        want = tensors["train.loglikelihood_gradnorm"][step]
        torch.testing.assert_close(
            torch.stack([-nats.detach(), length]), want, rtol=1e-5, atol=1e-5
        )
    for name, tensor in state.items():
        torch.testing.assert_close(
            tensor.detach(), tensors[f"train.after.{name}"], rtol=0, atol=1e-5
        )


def test_bad_input_is_named():
    codes, scores = curved(300)
    samples, method = samples_of(codes, scores), PluGeN(steps=2)
    with pytest.raises(LatdirError, match=r"known has shape \[300, 1\]: give \[300, 2\], a col"):
        method.train(samples, known=torch.ones(300, 1, dtype=torch.bool))
    with pytest.raises(LatdirError, match="14 samples to train on are too few for a flow of 5 co"):
        method.train(samples.rows(slice(0, 16)))
    with pytest.raises(LatdirError, match="attribute 'a' is constant"):
        method.train(samples_of(codes, scores * torch.tensor([0.0, 1.0])))
    with pytest.raises(LatdirError, match="a and b are collinear"):
        method.train(samples_of(codes, scores[:, [1, 1]] * torch.tensor([1.0, 2.0])))
    noise = torch.randn(300, 2, generator=torch.Generator().manual_seed(1))
    with pytest.raises(LatdirError, match=r"the codes do not tell '[ab]' \(correlation 0"):
        method.train(samples_of(codes, noise))
    for wrong in ({"validation": 0.0}, {"rate": 0.0}):
        with pytest.raises(LatdirError):
            PluGeN(**wrong)
