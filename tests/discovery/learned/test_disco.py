"""Directions whose variations an encoder sees as alike within one and unlike between two."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

import discovery.learned.disco as disco
from directions.errors import LatdirError
from directions.planted.world import planted
from discovery import DisCo
from discovery.learned.disco import disco_loss
from tests.discovery.learned.test_voynov_babenko import Grainy, inside
from tests.worlds import world

SMALL = {"n_codes": 64, "steps": 6, "batch_size": 8, "precision": "float32"}


def test_loss_by_a_loop_over_pairs():
    v = normalize(torch.rand(6, 4, generator=torch.Generator().manual_seed(0)))
    v[3] = v[0]  # a hard negative
    index = torch.tensor([0, 0, 0, 1, 1, 1])
    for flipping in (True, False):
        alike, unlike = [], []
        for i in range(6):
            for j in range(6):
                cosine, label = v[i] @ v[j], torch.tensor(float(index[i] == index[j]))
                if flipping and not label and cosine > 0.95:
                    label = cosine
                if i != j or index[i] != index[j]:
                    value = binary_cross_entropy_with_logits(cosine, label)
                    (alike if index[i] == index[j] else unlike).append(value)
        entropy = torch.distributions.Categorical(logits=v).entropy().mean()
        want = torch.stack(alike).mean() + torch.stack(unlike).mean() + 0.3 * entropy
        got = disco_loss(v, index[:, None] == index, flipping=flipping, domination=0.3)
        torch.testing.assert_close(got, want)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["ortho", "unit"])
def test_directions_are_where_the_image_changes(form, monkeypatch):
    """Directions turn to the three that change the image; in grain few single moves are told."""
    monkeypatch.setattr(disco, "JUDGED", 512)  # 256 moves a direction: a standard error of 0.017
    generator = planted(factors=3, dim=12, nuisances=0, size=8)
    generator.__class__ = Grainy
    # Orthonormal directions, which turn together, take steps that leave the grain.
    rate, reach = {"ortho": (1e-2, 6.0), "unit": (3e-2, 3.0)}[form]
    settings = {"n_codes": 256, "rate": rate, "reach": reach, "precision": "float32", "form": form}
    bank = DisCo(n_directions=3, steps=1500, **settings).discover(generator)
    start = DisCo(n_directions=3, steps=1, **settings).discover(generator)
    found, before = (inside(b, generator.truth) for b in (bank, start))
    assert found.min() > 0.95 > 0.65 > before.mean(), (found, before)
    # The share of moves nearest to the mean of their own direction; a third by chance.
    assert bank.provenance["accuracy"] > 0.6 > 0.45 > start.provenance["accuracy"]


def test_runs_are_the_same_and_go_on(tmp_path):
    generator = world(dim=8, factors=3)
    method = DisCo(n_directions=3, **SMALL)
    bank = method.discover(generator, seed=2, checkpoint=tmp_path / "run")
    for again in (
        method.discover(generator, seed=2),
        method.discover(generator, seed=2, checkpoint=tmp_path / "run"),
    ):
        assert torch.equal(bank.matrix(), again.matrix())
    torch.testing.assert_close(bank.matrix() @ bank.matrix().T, torch.eye(3), atol=1e-5, rtol=0)
    start = DisCo(n_directions=3, **{**SMALL, "steps": 1}).discover(generator, seed=2)
    assert not torch.equal(bank.matrix(), start.matrix())


def test_bad_input_is_named():
    with pytest.raises(LatdirError, match="z has 8 dimensions, and 9 orthonormal directions need"):
        DisCo(n_directions=9, **SMALL).discover(world(dim=8, factors=3))
    with pytest.raises(LatdirError, match="at least 2 directions and 8 moves, 4 of each of two"):
        DisCo(n_directions=1)
    with pytest.raises(LatdirError, match="units 1 must be at least 2"):
        DisCo(units=1)
