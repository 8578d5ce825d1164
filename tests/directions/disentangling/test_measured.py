"""Mixing by effects that several labelers measured."""

import pytest
import torch

from directions import LatdirError
from directions.classifiers import Renamed
from directions.disentangling import independent, labeler_effects, step_effects
from directions.planted.world import planted
from tests.analysis.measured import Altered, true_bank

NAMES = ("smiling", "age", "yaw")


@pytest.fixture(scope="module")
def world():
    return planted(factors=3, dim=16, cosine=0.4, names=NAMES)


def mistaken(world, mistake):
    """Takes a part of age for smiling, as labelers of photographs do."""

    def scores(exact):
        return torch.cat([exact[:, :1] + mistake * exact[:, 1:2], exact[:, 1:]], 1)

    return Altered(world.classifier(), scores)


def leaks(bank, world):
    """True effects on the other factors, over that on its own."""
    steps = torch.stack([d.sigma * d.vector for d in bank.directions])
    effects = steps @ world.truth.T
    return (effects / effects.diagonal()[:, None]).fill_diagonal_(0).abs()


def test_mistakes_that_labelers_do_not_share_average_out(world):
    bank = true_bank(world)
    one, other = mistaken(world, 0.3), mistaken(world, -0.3)
    alone = independent(bank, generator=world, labelers=[one])
    both = independent(bank, generator=world, labelers=[one, other])
    assert float(leaks(bank, world)[1, 0]) == pytest.approx(0.4, abs=0.01)
    # To a labeler that takes a part of age for smiling, ages are to smile less.
    assert float(leaks(alone, world)[1, 0]) == pytest.approx(0.3, abs=0.05)
    assert leaks(both, world).max() < 0.05
    assert both["smiling"].evidence["disentangled"]["labelers"] == ["altered", "altered"]


def test_noise_of_the_labels_takes_no_correction(world):
    """It is in the responses, not in the codes: directions of noisy labels are freed as well."""
    random = torch.Generator().manual_seed(0)
    noisy = Altered(world.classifier(), lambda s: s + 1.5 * torch.randn(s.shape, generator=random))
    found = independent(true_bank(world), generator=world, labelers=[noisy], codes=4096)
    assert leaks(found, world).max() < 0.08


def test_each_labeler_s_effects_are_those_it_measures_alone(world):
    bank, codes = true_bank(world), world.sample(64, seed=0)
    other = Renamed(mistaken(world, 0.3), {"smiling": "happy"})
    other.common_names = {"happy": "smiling"}
    found = labeler_effects(
        world, [world.classifier(), other], bank, attributes=["yaw", "smiling"], codes=codes
    )
    for seen, labeler in zip(found, (world.classifier(), mistaken(world, 0.3)), strict=True):
        alone = step_effects(world, labeler, bank, codes=codes)
        torch.testing.assert_close(seen, alone[:, [2, 0]], atol=1e-4, rtol=1e-4)


def test_refusals(world):
    bank = true_bank(world)
    with pytest.raises(LatdirError, match="give at least one labeler"):
        independent(bank, generator=world, labelers=[])
    lacking = Renamed(world.classifier(), {"yaw": "turn"})
    with pytest.raises(LatdirError, match="classifier planted has no attribute 'yaw'"):
        independent(bank, generator=world, labelers=[world.classifier(), lacking])
