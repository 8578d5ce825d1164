"""Mixing by effects that several labelers measured."""

import pytest
import torch

from directions import LatdirError, condition, load_classifier
from directions.classifiers import Renamed
from directions.disentangling import independent, labeler_effects, projection, step_effects
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


def test_conditioning_by_labelers_changes_those_named_and_leaves_alone_what_is_named(world):
    bank = true_bank(world)
    labelers = [mistaken(world, 0.3), mistaken(world, -0.3)]
    made = condition(bank, on={"age": ["smiling"]}, generator=world, labelers=labelers, rename=True)
    assert list(made) == ["smiling", "age | smiling", "yaw"]
    assert torch.equal(made["smiling"].vector, bank["smiling"].vector)
    assert torch.equal(made["yaw"].vector, bank["yaw"].vector)
    steps = torch.stack([d.sigma * d.vector for d in made.directions])
    true = steps @ world.truth.T
    assert abs(float(true[1, 0])) < 0.05
    # What is not named may change: ages turn the head as before.
    assert float(true[1, 2]) > 0.2
    record = made["age | smiling"].evidence["disentangled"]
    assert record["held"] == ["smiling"]
    assert record["labelers"] == ["altered", "altered"]


def test_conditioning_by_labelers_frees_all_of_all_by_a_list(world):
    bank = true_bank(world)
    labelers = [world.classifier()]
    made = condition(bank, on=list(NAMES), generator=world, labelers=labelers)
    assert leaks(made, world).max() < 0.02
    few = condition(bank, on=["yaw"], generator=world, labelers=labelers)
    assert torch.equal(few["yaw"].vector, bank["yaw"].vector)
    assert leaks(few, world)[:2, 2].max() < 0.02 < leaks(few, world)[0, 1]


def test_a_judge_leaves_the_labelers_to_be_independent_of_it(world, monkeypatch):
    asked = []

    def kept(bank, *, labelers, **rest):
        asked.extend(labeler.name for labeler in labelers)
        return bank

    monkeypatch.setattr(projection, "independent", kept)
    bank = true_bank(world)
    for judge in ("mobile-faces", "faces", "clip"):
        condition(bank, on=list(NAMES), generator=world, judge=load_classifier(judge))
    condition(bank, on=list(NAMES), generator=world, judge=world.classifier())
    assert asked == ["faces", "mobile-faces", "mobile-faces", "faces", "mobile-faces"]


def test_what_a_judge_is_not_independent_of_is_refused(world):
    bank, own = true_bank(world), world.classifier()
    with pytest.raises(LatdirError, match="the judge planted holds planted, which is the labeler"):
        condition(bank, on=list(NAMES), generator=world, labelers=[own], judge=own)
    with pytest.raises(LatdirError, match="independent of the judge face-ensemble scores all of"):
        condition(bank, on=list(NAMES), generator=world, judge=load_classifier("face-ensemble"))
    with pytest.raises(LatdirError, match="labelers without generator"):
        condition(bank, on=list(NAMES), judge=own)


def test_refusals(world):
    bank = true_bank(world)
    both = {"on": list(NAMES), "labelers": [world.classifier()]}
    with pytest.raises(LatdirError, match=r"labelers without generator: give both to condition on"):
        condition(bank, **both)
    with pytest.raises(LatdirError, match="a generator without labelers: give both"):
        condition(bank, on=list(NAMES), generator=world)
    with pytest.raises(LatdirError, match="a metric has no part: leave it out"):
        condition(bank, **both, generator=world, metric=world.prior())
    with pytest.raises(LatdirError, match="give at least one labeler"):
        independent(bank, generator=world, labelers=[])
    lacking = Renamed(world.classifier(), {"yaw": "turn"})
    with pytest.raises(LatdirError, match="classifier planted has no attribute 'yaw'"):
        independent(bank, generator=world, labelers=[world.classifier(), lacking])
