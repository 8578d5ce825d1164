"""Every estimator, conditioning and judge against factors that are known in closed form."""

import pytest
import torch

from analysis import judge_agreement, measure_effects
from directions import LatdirError, Rendering, condition, load_generator
from directions.disentangling import independent
from directions.planted.faces import NAMES, PlantedFaces
from discovery import Boundary, Gradient, sample
from tests.analysis.measured import bank_of

QUIET = Rendering(precision="float32", batch_size=128, progress=False)
# Takes a part of male for age, and of yaw for smiling.
MISTAKES = torch.eye(4)
MISTAKES[2, 1], MISTAKES[0, 3] = 0.5, -0.4


@pytest.fixture(scope="module")
def faces():
    return PlantedFaces(load_generator("digiface64"))


@pytest.fixture(scope="module")
def labels(faces):
    return sample(faces, faces.labeler(0), 1500, seed=0, rendering=QUIET)


def angles(bank, faces):
    return (bank.matrix() * faces.truth).sum(1).clamp(-1, 1).acos().rad2deg()


def steps(bank):
    return torch.stack([d.sigma * d.vector for d in bank.directions])


def leakage(bank, faces):
    """True effects on the other factors over the effect on the own one."""
    effects = faces.effects(steps(bank))
    return (effects / effects.diagonal()[:, None]).fill_diagonal_(0).abs()


def test_factors_are_linear_and_labelers_see_them_with_errors_of_their_own(faces):
    codes = faces.sample(300, seed=1)
    images, truth = faces.synthesize(codes), faces.factors(codes)
    assert images.abs().max() <= 1
    torch.testing.assert_close(truth.std(0), torch.ones(4), atol=0.2, rtol=0)
    errors = []
    for which in (0, 1):
        seen = faces.labeler(which)(images)
        assert all(0.5 < float(torch.corrcoef(torch.stack([s, t]))[0, 1]) < 0.99
                   for s, t in zip(seen.T, truth.T, strict=True))  # fmt: skip
        errors.append(seen - truth)
    for a, b in zip(errors[0].T, errors[1].T, strict=True):
        assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.4


@pytest.mark.parametrize("estimator", ["ridge", "lda", "logistic", "mean_difference"])
def test_boundaries_find_the_truth(faces, labels, estimator):
    bank = Boundary(estimator=estimator, validation=0.0, bootstrap=0).discover(labels)
    assert angles(bank, faces).max() < 30


def test_gradients_find_the_truth(faces):
    bank = Gradient(n_codes=200).discover(faces, classifier=faces.labeler(0))
    assert angles(bank, faces).max() < 25


def test_conditioning_frees_directions_of_true_leakage(faces, labels):
    bank = Boundary(validation=0.0, bootstrap=0).discover(labels)
    before = leakage(bank, faces)
    after = leakage(condition(bank, on=list(NAMES)), faces)
    # Truths have a cosine of 0.3 with one another.
    assert 0.2 < before.sum() / 12 < 0.4
    assert after.sum() < 0.5 * before.sum()


@pytest.mark.slow
def test_what_a_mistaken_labeler_conditions_still_leaks_and_a_second_helps(faces):
    bank = bank_of(faces, **dict(zip(NAMES, faces.truth, strict=True)))
    labelers = [faces.labeler(0, mistakes=MISTAKES), faces.labeler(1)]
    one, both = (
        independent(bank, generator=faces, labelers=labelers[:n], codes=512, rendering=QUIET)
        for n in (1, 2)
    )
    # Freed of age as it sees it, male lowers the true age by half of what it changes.
    assert float(leakage(one, faces)[1, 2]) == pytest.approx(0.5, abs=0.12)
    assert float(leakage(both, faces)[1, 2]) < 0.8 * float(leakage(one, faces)[1, 2])
    assert leakage(both, faces).max() < leakage(one, faces).max()


def test_a_judge_tells_a_false_direction_from_a_true_one(faces):
    """The first labeler takes yaw for smiling altogether; its smiling is a turn of the head."""
    blind = torch.eye(4)
    blind[0] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    yaw = faces.truth[3] - 0.3 * faces.truth[0]  # orthogonal to smiling
    bank = bank_of(faces, smiling=yaw, age=faces.truth[2])
    effects = measure_effects(
        faces, faces.labeler(0, mistakes=blind), bank, count=128, judge=faces.labeler(1),
        rendering=QUIET,
    )  # fmt: skip
    found = judge_agreement(effects)
    assert [row.labeler_only for row in found] == [True, False]
    assert float(faces.effects(steps(bank))[0, 0]) == pytest.approx(0, abs=1e-3)


def test_refusals(faces):
    with pytest.raises(LatdirError, match="labeler 2 does not exist: there are 0 and 1"):
        faces.labeler(2)
    with pytest.raises(LatdirError, match=r"strength 1.5 must be between 0 and 1"):
        PlantedFaces(load_generator("digiface64"), strength=1.5)
