import json

import numpy as np
import pytest
import torch
from scipy import linalg

from analysis.edits.realism import (
    frechet_distance,
    kernel_distance,
    measure_realism,
    neighbor_density,
)
from directions import LatdirError
from tests.analysis.measured import bank_of, true_bank
from tests.worlds import world

pytest.importorskip("torchmetrics", reason="the extra `metrics` is not installed")


def normal(n, d, *, seed, scale=1.0, shift=0.0):
    return shift + scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_the_frechet_distance_is_the_published_formula():
    mix = normal(5, 5, seed=9)
    a, b = normal(300, 5, seed=0) @ mix, normal(200, 5, seed=1, scale=1.7, shift=0.4)
    x, y = a.double().numpy(), b.double().numpy()
    c, d = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(c @ d).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c + d - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    with pytest.raises(LatdirError, match=r"features of shape \[5, 5\] are too few"):
        frechet_distance(a, b[:5])


def test_the_kernel_distance_is_the_unbiased_cubic_mmd_and_draws_from_its_own_stream():
    a, b = normal(60, 4, seed=0), normal(60, 4, seed=1, shift=0.5)
    state = torch.random.get_rng_state()
    mean, spread = kernel_distance(a, b, subsets=3, subset_size=60)
    assert torch.equal(torch.random.get_rng_state(), state)

    def kernel(x, y):
        return (x.double() @ y.double().T / 4 + 1) ** 3

    inside = sum((kernel(v, v).sum() - kernel(v, v).diagonal().sum()) / (60 * 59) for v in (a, b))
    assert mean == pytest.approx(float(inside - 2 * kernel(a, b).mean()), rel=1e-6)
    assert spread == pytest.approx(0, abs=1e-9)
    assert kernel_distance(a, b, seed=1) == kernel_distance(a, b, seed=1)
    assert kernel_distance(a, b, seed=1) != kernel_distance(a, b, seed=2)
    with pytest.raises(LatdirError, match="50 subsets of 61 rows cannot be drawn"):
        kernel_distance(a, b, subset_size=61)


def test_density_is_one_for_its_own_kind_and_counts_balls():
    reference = normal(1500, 8, seed=0)
    assert float(neighbor_density(normal(1500, 8, seed=1), reference).mean()) == pytest.approx(
        1, abs=0.08
    )
    far = neighbor_density(normal(20, 8, seed=1, shift=6.0), reference)
    assert far.max() == 0
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    # Balls of the nearest neighbor: radii 1, 1, 2, 4.
    points = torch.tensor([[0.5], [2.0], [3.5]])
    expected = [2.0, 2.0, 2.0]
    assert neighbor_density(points, line, neighbors=1).tolist() == expected
    with pytest.raises(LatdirError, match="4 reference points of shape"):
        neighbor_density(points, line, neighbors=4)


def slow_density(points, reference, k):
    found = []
    for p in points:
        inside = 0
        for i, r in enumerate(reference):
            others = torch.cat([reference[:i], reference[i + 1 :]])
            radius = (others - r).norm(dim=1).sort().values[k - 1]
            inside += int((p - r).norm() <= radius)
        found.append(inside / k)
    return found


def test_density_is_that_of_a_plain_loop():
    reference, points = normal(40, 3, seed=2), normal(10, 3, seed=3)
    expected = slow_density(points, reference, 4)
    assert neighbor_density(points, reference, neighbors=4).tolist() == expected


def test_the_farther_an_edit_goes_the_less_real_it_is():
    generator = world(dim=12)
    bank = true_bank(generator).select(["factor_0", "factor_1"])
    found = measure_realism(
        generator,
        bank,
        lambda images: generator.classifier()(images),
        amounts=(1.0, 2.0, 4.0),
        count=200,
        reference=400,
    )
    assert found.amounts.tolist() == [0, 1, 2, 4]
    for k in range(2):
        assert (found.frechet[k].diff() > 0).all()
        assert (found.kernel[k].diff() > 0).all()
        assert (found.feature_density[k].diff() < 0).all()
        assert (found.code_density[k].diff() < 0).all()
    # Unmoved codes are drawn like the reference: the floor, the same for both directions.
    assert float(found.code_density[0, 0]) == pytest.approx(1, abs=0.15)
    assert found.frechet[0, 0] == found.frechet[1, 0] < 0.2
    assert found.excess[:, 0].tolist() == [0, 0]
    # Four factors with the mean of one moved by 2.
    assert float(found.excess[0, 2]) == pytest.approx(4, rel=0.15)
    assert len(json.loads(json.dumps(found.as_dict()))["kernel_std"]) == 2


def test_a_move_that_no_feature_sees_leaves_the_images_and_not_the_codes_as_real():
    generator = world(dim=12)
    blind = torch.linalg.svd(generator.style_matrices()[0])[2][-1]
    found = measure_realism(
        generator,
        bank_of(generator, blind=blind),
        lambda images: generator.classifier()(images),
        amounts=(4.0,),
        count=150,
        reference=300,
    )
    assert float(found.excess[0, 1]) == pytest.approx(0, abs=1e-3)
    assert found.code_density[0, 1] < 0.5


def test_too_few_codes_for_the_features_are_refused():
    generator = world(dim=12)
    with pytest.raises(LatdirError, match="too few for a Fréchet distance"):
        measure_realism(
            generator, true_bank(generator), lambda images: images.flatten(1), count=8, reference=9
        )
