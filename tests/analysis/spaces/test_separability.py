"""Linear separability: separable, hopeless and one-sided attributes; what holding out is for."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from analysis.spaces.separability import linear_separability, measure_separability
from directions.errors import LatdirError
from directions.planted.world import planted


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_separable_attributes_score_one_and_hopeless_ones_two_each():
    x = normal(2000, 5)
    found = linear_separability(x, torch.stack([9 * x[:, 0] + x[:, 2], -x[:, 1]], 1))
    assert 1 <= found.score < 1.15
    assert found.accuracy.min() > 0.97
    hopeless = linear_separability(x, normal(2000, 2, seed=1))
    assert hopeless.score == pytest.approx(4, rel=0.03)
    # Resampled tables carry a little information by chance, so the interval lies below.
    assert hopeless.low < hopeless.high < 4.0001
    assert found.low <= found.score <= found.high


def test_the_training_rows_flatter():
    x, logits = normal(200, 90), normal(200, 1, seed=1)
    published = linear_separability(x, logits, as_published=True)
    assert published.score < 1.1
    assert published.scored_on == "training"
    assert linear_separability(x, logits).score > 1.6


def test_entropy_is_that_of_scikit_learn():
    x = normal(1000, 1)
    logits = x + 0.6 * normal(1000, 1, seed=2)
    found = linear_separability(x, logits, keep=1.0, as_published=True, fit=lambda *_: (one, 0.1))
    labels, guess = logits[:, 0].numpy() > 0, x[:, 0].numpy() + 0.1 > 0
    own = mutual_info_score(labels, labels)
    expected = own - mutual_info_score(labels, guess)
    assert float(found.entropy[0]) == pytest.approx(expected, abs=1e-12)
    assert found.score == pytest.approx(math.exp(expected))
    assert float(found.accuracy[0]) == np.mean(labels == guess)


one = np.ones(1)


def test_the_surest_rows_are_kept():
    x = torch.linspace(-1, 1, 101, dtype=torch.float64)[:, None]
    seen = []

    def fit(codes, labels):
        seen.append(codes)
        return one, 0.0

    linear_separability(x, x, keep=0.5, as_published=True, fit=fit)
    assert np.abs(seen[0]).min() == pytest.approx(0.52)
    assert len(seen[0]) == 50


def test_one_sided_attributes_are_reported():
    x = normal(300, 3)
    logits = torch.stack([x[:, 0], x[:, 1].abs()], 1)
    found = linear_separability(x, logits)
    assert found.one_sided.tolist() == [False, True]
    assert found.entropy[1] == 0
    with pytest.raises(LatdirError, match="every attribute has one class only"):
        linear_separability(x, logits[:, 1:])
    with pytest.raises(LatdirError, match="leaves 3: a fraction"):
        linear_separability(x, logits, keep=0.01)


def test_of_a_generator():
    straight, bent = (planted(factors=2, dim=10, bend=b, seed=1) for b in (0.0, 2.0))
    scores = [
        measure_separability(w, w.classifier(kind="probability"), count=1500)["z"].score
        for w in (straight, bent)
    ]
    assert scores[0] < 1.1 < 1.5 < scores[1]
    with pytest.raises(LatdirError, match="separability is of probabilities: planted has none"):
        measure_separability(straight, straight.classifier(), count=1500)
