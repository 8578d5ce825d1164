"""Directions that a network can tell apart."""

from __future__ import annotations

import logging

import pytest
import torch

import directions.training.loop as loop
from directions.errors import LatdirError
from directions.generators import load_generator
from directions.planted.world import PlantedGenerator, planted
from discovery import LatentCLR, VoynovBabenko
from tests.worlds import world


class Grainy(PlantedGenerator):
    """Planted factors in images with grain, so that small changes cannot be told."""

    def synthesize(self, codes, space="z"):
        images = super().synthesize(codes, space)
        phase = (codes.detach().flatten(1)[:, :8].double() * 1e4).sum(1)
        grain = torch.sin(phase[:, None] * torch.arange(1, images[0].numel() + 1)) * 2**0.5
        return images + 0.3 * grain.float().reshape(images.shape)


SMALL = {"n_codes": 64, "steps": 12, "batch_size": 8, "precision": "float32"}


def inside(bank, truth):
    """Length of each direction's part in the span of the truth."""
    return (bank.matrix() @ truth.T).norm(dim=1)


@pytest.mark.parametrize(
    "form",
    ["unit", *(pytest.param(f, marks=pytest.mark.slow) for f in ("ortho", "linear", "fc"))],
)
def test_directions_are_where_the_image_changes(form):
    """Of twelve dimensions three change the image, and three directions must find them."""
    generator = planted(factors=3, dim=12, nuisances=0, size=8)
    generator.__class__ = Grainy
    settings = {"n_codes": 256, "reach": 3.0, "rate": 1e-2, "amount_weight": 1.0}
    bank = VoynovBabenko(
        n_directions=3, deformator=form, steps=300, precision="float32", **settings
    ).discover(generator)
    blind = VoynovBabenko(n_directions=3, deformator=form, **SMALL | {"steps": 1})
    found = inside(bank, generator.truth)
    # Orthonormal directions may leave one where nothing changes, and call it by that.
    assert found.mean() > 0.75, found
    assert form != "unit" or found.min() > 0.95, found
    assert inside(blind.discover(generator), generator.truth).mean() < 0.65
    values = [d.evidence["accuracy"] for d in bank.directions]
    assert values == sorted(values, reverse=True)
    assert bank.provenance["accuracy"] > 0.6
    assert (form == "fc") == ("bend" in bank.directions[0].evidence)
    if form == "ortho":
        torch.testing.assert_close(bank.matrix() @ bank.matrix().T, torch.eye(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "start", ["sefa", "pca", pytest.param("global_basis", marks=pytest.mark.slow)]
)
def test_directions_start_from_another_method(start):
    from discovery import find_method

    generator = world(dim=8, factors=3)
    found = VoynovBabenko(n_directions=3, start=start, **{**SMALL, "steps": 1, "rate": 1e-9})
    bank, others = found.discover(generator), find_method(start)(n_directions=3).discover(generator)
    nearest = (bank.matrix() @ others.matrix().T).abs().amax(1)
    assert nearest.min() > 0.999


def test_directions_stay_in_the_span_that_they_start_in():
    from discovery import SeFa

    generator = world(dim=8, factors=3)
    settings = {**SMALL, "rate": 0.1, "start": "sefa", "n_directions": 2}
    found = VoynovBabenko(span=4, **settings).discover(generator).matrix()
    leading = SeFa(n_directions=4).discover(generator).matrix()
    torch.testing.assert_close((found @ leading.T).norm(dim=1), torch.ones(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(found @ found.T, torch.eye(2), atol=1e-5, rtol=0)
    # They turn inside of it, and leave it without the bound.
    assert (found @ leading[:2].T).norm(dim=1).max() < 0.99
    free = VoynovBabenko(**settings).discover(generator).matrix()
    assert (free @ leading.T).norm(dim=1).max() < 0.99


def test_a_killed_run_goes_on_to_the_same_end(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "EVERY", 0.0)
    generator = world(dim=8, factors=3)
    method = VoynovBabenko(n_directions=3, deformator="fc", **SMALL)
    whole = method.discover(generator, seed=5)
    file, calls = tmp_path / "new" / "run", 0

    def killed(seed, step):
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt
        return draw(seed, step)

    import discovery.learned.contrast as contrast

    draw = contrast.step_rng
    with monkeypatch.context() as patched:
        patched.setattr(contrast, "step_rng", killed)
        with pytest.raises(KeyboardInterrupt):
            method.discover(generator, seed=5, checkpoint=file)
    assert file.exists()
    for _ in range(2):  # the second goes on from the end
        bank = method.discover(generator, seed=5, checkpoint=file)
        assert torch.equal(bank.matrix(), whole.matrix())
        assert bank.provenance == whole.provenance
        assert [dict(d.evidence) for d in bank.directions] == [
            dict(d.evidence) for d in whole.directions
        ]
    with pytest.raises(LatdirError, match="keeps a training with seed 5, and this one has 6: give"):
        method.discover(generator, seed=6, checkpoint=file)
    with pytest.raises(LatdirError, match="with steps 12, and this one has 13"):
        VoynovBabenko(n_directions=3, deformator="fc", **{**SMALL, "steps": 13}).discover(
            generator, seed=5, checkpoint=file
        )
    file.write_bytes(b"nothing")
    with pytest.raises(LatdirError, match=r"not a readable training file .*; delete it: training"):
        method.discover(generator, seed=5, checkpoint=file)


class Failing(PlantedGenerator):
    """Images that are not finite from some step on."""

    def synthesize(self, codes, space="z"):
        images = super().synthesize(codes, space)
        self.made = getattr(self, "made", 0) + codes.requires_grad
        return images * torch.nan if codes.requires_grad and self.made > 7 else images


def test_training_on_images_that_are_not_finite_is_refused(monkeypatch):
    generator = world(dim=8, factors=3)
    images = type(generator).synthesize
    monkeypatch.setattr(
        type(generator), "synthesize", lambda *given, **named: images(*given, **named) / 0
    )
    with pytest.raises(LatdirError, match="voynov_babenko: the first step's loss is nan: images"):
        VoynovBabenko(n_directions=3, **SMALL).discover(generator)


def test_training_that_diverges_is_stopped_and_the_best_kept(caplog):
    generator = world(dim=8, factors=3)
    generator.__class__ = Failing
    with caplog.at_level(logging.WARNING):
        bank = VoynovBabenko(n_directions=3, **SMALL).discover(generator)
    assert "training diverged at step 8 of 12: the weights of step" in caplog.text
    assert bank.matrix().isfinite().all()
    assert 1 <= bank.provenance["steps"] <= 7


def test_a_rate_that_explodes_is_stopped(caplog):
    learned = torch.nn.Linear(1, 1)
    adam = torch.optim.SGD(learned.parameters(), lr=0.6)
    losses = []

    def loss(step):
        value = (learned(torch.ones(1, 1)) - 1).square().sum()
        losses.append(float(value.detach()))
        return value

    with caplog.at_level(logging.WARNING):
        fitted = loop.fit(learned, loss, adam, steps=64, checkpoint=loop.Checkpoint(None, {}))
    assert fitted.steps < 64
    assert fitted.kept < fitted.steps
    assert max(losses) > 2 * float(loss(0))


class Detached(PlantedGenerator):
    """Images without a gradient."""

    def synthesize(self, codes, space="z"):
        return super().synthesize(codes.detach(), space)


def test_images_without_gradients_are_refused():
    generator = world(dim=8, factors=3)
    generator.__class__ = Detached
    for method in (VoynovBabenko(n_directions=3, **SMALL), LatentCLR(steps=1)):
        with pytest.raises(LatdirError, match="planted do not depend on codes differentiably: wr"):
            method.discover(generator)


def test_bad_input_is_named():
    generator = world(dim=8, factors=3)
    with pytest.raises(LatdirError, match="z has 8 dimensions, and 9 orthonormal directions need"):
        VoynovBabenko(n_directions=9, **SMALL).discover(generator)
    bank = VoynovBabenko(n_directions=9, deformator="unit", **SMALL).discover(generator)
    assert len(bank) == 9
    with pytest.raises(LatdirError, match="pca gives 8 directions of 'z' to start from, not 9 of"):
        VoynovBabenko(n_directions=9, deformator="unit", start="pca", **SMALL).discover(generator)
    with pytest.raises(LatdirError, match="sefa gives 3 directions of 'w' to start from, not 3 of"):
        VoynovBabenko(n_directions=3, space="z", start="sefa", **SMALL).discover(
            load_generator("styleface64")
        )
    with pytest.raises(LatdirError, match="span is 2: give at least n_directions"):
        VoynovBabenko(n_directions=3, span=2)
    with pytest.raises(LatdirError, match="with deformator='ortho', or 0 for no bound"):
        VoynovBabenko(n_directions=3, span=4, deformator="unit")
    with pytest.raises(LatdirError, match="and 9 orthonormal directions need as many: lower span"):
        VoynovBabenko(n_directions=3, span=9, **SMALL).discover(generator)
    with pytest.raises(LatdirError, match="at least 2 of each, for one direction cannot be told"):
        VoynovBabenko(n_directions=1)
    with pytest.raises(LatdirError, match="rate -1 must be above 0"):
        VoynovBabenko(rate=-1.0)
