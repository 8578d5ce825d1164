import dataclasses
import math

import pytest
import torch

from directions import LatdirError, Rendering
from directions.classifiers import Attribute, Classifier, Combined
from directions.planted.world import planted
from directions.scoring.gradients import ScoreGradients, score_gradients
from directions.space import Prior
from discovery.registry import find_method
from discovery.supervised import robust_means as robust
from discovery.supervised.active_subspace import ActiveSubspace, active_subspace
from discovery.supervised.gradient import Gradient, _Estimate, estimate_direction
from discovery.supervised.gradient import half_sample_agreement as halve
from tests.worlds import WORLDS, Mapped, Noisy, labeled, world


def cosines(bank, truth):
    return (bank.matrix() * truth).sum(1)


class Of(Classifier):
    """Any differentiable function of another classifier's logits."""

    differentiable = True

    def __init__(self, base, function, names, name="of"):
        self.base, self.function, self.name, self.calls = base, function, name, 0
        self.attributes = tuple(Attribute(n) for n in names)

    @property
    def fingerprint(self):
        return "f" * 64

    def __call__(self, images):
        self.calls += 1
        return self.function(self.base.logits(images))


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("values", [True, False])
def test_the_planted_directions_come_back(name, values):
    generator = world(name)
    classifier = generator.classifier(kind="probability")
    bank = Gradient(n_codes=300, values=values).discover(generator, classifier=classifier)
    assert list(bank) == list(generator.names)
    assert cosines(bank, generator.truth).min() > 0.99
    for direction in bank.directions:
        assert direction.method == "gradient"
        assert direction.sigma == pytest.approx(generator.prior().sigma(direction.vector), rel=1e-4)
        assert direction.evidence["agreement"] > 0.9
        # Log-odds rise by 2 a unit of the factor, and the direction is the factor's.
        assert direction.evidence["slope"] == pytest.approx(2 * direction.sigma, rel=0.1)


def test_the_mean_gradient_is_the_least_squares_slope_and_not_the_covariance():
    # Stein's lemma where the prior is anisotropic and the score curved: three ways to one slope.
    generator = world("everything", dim=16, factors=2)
    samples = labeled(generator, generator.classifier(), 100_000)
    slope = torch.linalg.lstsq(
        samples.codes - samples.codes.mean(0), samples.scores - samples.scores.mean(0)
    ).solution.T
    bank = Gradient(n_codes=2000, center="mean", values=False).discover(
        generator, classifier=generator.classifier()
    )
    covariance = slope @ generator.prior().covariance
    unit = torch.nn.functional.normalize
    assert cosines(bank, unit(slope)).min() > 0.999
    assert cosines(bank, unit(covariance)).max() < 0.97


def test_gradients_are_those_of_the_closed_form_and_of_one_code_at_a_time():
    generator = world("everything")
    codes = generator.sample(7, seed=3)
    classifier = generator.classifier(kind="probability", steepness=3.0)
    names = ["factor_2", "factor_0"]
    found = score_gradients(generator, classifier, codes, attributes=names, space="z", batch_size=3)
    exact = 3 * generator.jacobian(codes)[:, [2, 0]]
    torch.testing.assert_close(found.gradients, exact, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(
        found.values, 3 * generator.factors(codes)[:, [2, 0]], atol=1e-3, rtol=1e-3
    )
    for i, code in enumerate(codes):
        for j, column in enumerate((2, 0)):
            leaf = code[None].clone().requires_grad_(True)
            score = classifier.logits(generator.synthesize(leaf))[0, column]
            [slow] = torch.autograd.grad(score, leaf)
            torch.testing.assert_close(found.gradients[i, j], slow[0], atol=1e-4, rtol=1e-4)


def test_gradients_are_taken_inside_no_grad_and_leave_no_graph():
    generator = world()
    with torch.no_grad():
        found = score_gradients(
            generator, generator.classifier(), generator.sample(2, seed=0),
            attributes=generator.names, space="z",
        )  # fmt: skip
    assert not found.gradients.requires_grad
    assert not found.values.requires_grad
    assert found.gradients.abs().sum() > 0


def test_outliers_of_a_ratio_ruin_the_mean_but_not_the_default():
    generator = world(dim=32)
    base = generator.classifier()
    # Rare codes with a denominator near zero: the landmark geometry of a turned head.
    ratio = Of(base, lambda f: f[:, :1] / (f[:, 1:2] ** 2 + 1e-3), ["tilt"])
    found = {
        center: float(
            Gradient(n_codes=400, center=center, values=center != "mean")
            .discover(generator, classifier=ratio)["tilt"]
            .vector
            @ generator.truth[0]
        )
        for center in ("mean", "clipped", "median")
    }
    assert found["mean"] < 0.95
    assert found["clipped"] > 0.95
    assert found["median"] > 0.95
    evidence = Gradient(n_codes=400).discover(generator, classifier=ratio)["tilt"].evidence
    assert evidence["spread"] > 50


def test_scores_take_part_where_they_help_and_labels_more_so():
    # Rough scores: gradients are far noisier than the scores they belong to.
    generator = planted(factors=1, dim=16, nuisances=2)
    rough = Of(generator.classifier(), lambda f: f + 0.1 * torch.sin(30 * f), ["rough"])
    truth = generator.truth[0]
    codes = generator.sample(100, seed=5)
    bends = torch.randn(16, 16, generator=torch.Generator().manual_seed(1))
    waves = torch.sin(6 * codes @ bends.T)
    gradients = truth + 0.6 * torch.einsum("nk,kd->nd", torch.cos(6 * codes @ bends.T), bends)
    found = ScoreGradients(codes, (codes @ truth + 0.1 * waves.sum(1))[:, None], gradients[:, None])
    prior = generator.prior()
    alone, helped = (
        torch.nn.functional.cosine_similarity(
            estimate_direction(found, 0, prior=prior, settings=Gradient(values=v)),
            truth.double(),
            dim=0,
        )
        for v in (False, True)
    )
    assert helped > alone + 0.05

    samples = labeled(generator, rough, 4000)
    few = Gradient(n_codes=20).discover(generator, classifier=rough)
    more = Gradient(n_codes=20).discover(generator, classifier=rough, samples=samples)
    assert more["rough"].evidence["value_weight"] >= few["rough"].evidence["value_weight"]
    assert float(more["rough"].vector @ truth) > 0.999
    assert more.provenance["start"] == 4000


def test_the_expected_angle_is_the_angle_that_is_found():
    generator = world("curved", dim=64)
    angles, expected = [], []
    for seed in range(12):
        bank = Gradient(n_codes=60, center="mean", values=False).discover(
            generator, classifier=generator.classifier(), seed=seed
        )
        angles += cosines(bank, generator.truth).clamp_max(1).acos().rad2deg().tolist()
        expected += [d.evidence["expected_angle"] for d in bank.directions]
    root = [math.sqrt(sum(a * a for a in found) / len(found)) for found in (angles, expected)]
    assert root[0] == pytest.approx(root[1], rel=0.15)


def test_halves_that_disagree_say_so():
    rng = torch.Generator().manual_seed(0)
    c, half, whole = halve(lambda rows: torch.randn(1000, generator=rng), 10)
    assert abs(c) < 0.1
    assert 84 < half < 96
    assert whole > 60


def test_offset_is_where_log_odds_are_even_and_values_have_none():
    generator = world("linear")
    base = generator.classifier(kind="probability")
    shifted = Of(base, lambda logits: (logits + 1.5).sigmoid(), base.names)
    shifted.attributes = base.attributes
    codes = generator.sample(500, seed=9)
    odds = (base.logits(generator.synthesize(codes)) + 1.5)[:, 0]
    bank = Gradient(n_codes=300).discover(generator, classifier=shifted)
    level = bank["factor_0"].level(codes)
    torch.testing.assert_close(level, odds / 2, atol=0.1, rtol=0)
    values = Gradient(n_codes=50).discover(generator, classifier=generator.classifier())
    assert values["factor_0"].offset is None


def test_two_runs_are_bit_identical_and_batches_do_not_matter():
    generator = world("everything")
    runs = [
        Gradient(n_codes=64, batch_size=size).discover(
            generator, classifier=generator.classifier(), seed=4
        )
        for size in (64, 64, 7)
    ]
    assert torch.equal(runs[0].matrix(), runs[1].matrix())
    torch.testing.assert_close(runs[0].matrix(), runs[2].matrix(), atol=1e-5, rtol=0)
    other = Gradient(n_codes=64).discover(generator, classifier=generator.classifier(), seed=5)
    assert not torch.equal(runs[0].matrix(), other.matrix())


def test_turning_the_scores_round_turns_the_directions_round():
    generator = world("everything")
    base = generator.classifier()
    forward = Gradient(n_codes=64).discover(generator, classifier=base)
    backward = Gradient(n_codes=64).discover(
        generator, classifier=Of(base, lambda f: -f, base.names)
    )
    torch.testing.assert_close(forward.matrix(), -backward.matrix(), atol=1e-5, rtol=0)


def test_another_space_and_only_the_attributes_asked_for():
    generator = Mapped(world("linear"))
    bank = Gradient(n_codes=100, space="w").discover(
        generator, classifier=generator.classifier(), attributes=["factor_3"]
    )
    # f = t · A⁻¹(w - b), so its gradient in w is A⁻ᵀ t.
    exact = torch.linalg.solve(generator._matrix.T, generator.truth[3])
    assert list(bank) == ["factor_3"]
    assert bank["factor_3"].space == "w"
    cosine = torch.nn.functional.cosine_similarity(bank["factor_3"].vector, exact, dim=0)
    assert cosine > 0.999


def test_parts_of_a_combined_classifier_that_are_not_needed_do_not_run():
    generator = world()
    base = generator.classifier()
    wanted = Of(base, lambda f: f[:, :1], ["up"])
    idle = Of(base, lambda f: f[:, 1:2], ["down"])
    stiff = Noisy(Of(base, lambda f: f[:, 2:3], ["stiff"]), noise=0.1)
    both = Combined(wanted, idle, stiff)
    bank = Gradient(n_codes=10).discover(generator, classifier=both, attributes=["up"])
    assert list(bank) == ["up"]
    assert wanted.calls == 1
    assert idle.calls == 0
    with pytest.raises(LatdirError, match="is not differentiable: use `boundary`"):
        Gradient(n_codes=10).discover(generator, classifier=both)


def test_a_broken_code_is_dropped_and_many_are_refused():
    generator = world()
    base = generator.classifier()
    cut = float(generator.factors(generator.sample(100, seed=0))[:, 0].sort().values[-3])

    def broken(limit):
        return Of(base, lambda f: f / (f[:, :1] < limit), base.names)

    bank = Gradient(n_codes=100).discover(generator, classifier=broken(cut + 1e-3))
    assert bank["factor_1"].evidence["dropped"] == 2
    assert bank["factor_1"].evidence["codes"] == 98
    assert cosines(bank, generator.truth)[1:].min() > 0.99
    with pytest.raises(LatdirError, match=r"'factor_0' is NaN or infinite at \d+ of 100 codes"):
        Gradient(n_codes=100).discover(generator, classifier=broken(0.0))


def test_coordinates_whose_sign_flips_are_left_out():
    """Of a coordinate that rises on all codes, on 80 %, and on half with a larger mean."""
    n = 200
    rng = torch.Generator().manual_seed(0)
    gradients = torch.ones(n, 3)
    gradients[: n // 5, 1] = -0.5
    gradients[: n // 2, 2] = -1.0
    gradients[n // 2 :, 2] = 5.0
    found = ScoreGradients(torch.randn(n, 3, generator=rng), torch.randn(n, 1), gradients[:, None])
    prior = Prior.standard(3)
    kept = {}
    for consistency in (0.0, 0.75, 0.9):
        settings = Gradient(values=False, center="mean", consistency=consistency)
        one = _Estimate.of("a", found, 0, prior, None, settings)
        kept[consistency] = (one.vector != 0).tolist()
        assert one.evidence.get("coordinates") == (sum(kept[consistency]) if consistency else None)
        assert float(one.vector.norm()) == pytest.approx(1)
    assert kept == {0: [True] * 3, 0.75: [True, True, False], 0.9: [True, False, False]}
    with pytest.raises(LatdirError, match=r"no coordinate's gradient of 'a' .* \(50% at most\): l"):
        _Estimate.of("a", ScoreGradients(*found[:2], gradients[:, None, 2:].expand(-1, 1, 3)), 0,
                     prior, None, Gradient(values=False, consistency=0.75))  # fmt: skip
    with pytest.raises(LatdirError, match=r"consistency is a share of the codes, 0 to 1, not 1\.5"):
        Gradient(consistency=1.5)


def test_refusals():
    generator = world()
    base = generator.classifier()
    with pytest.raises(LatdirError, match="no attribute 'age'"):
        Gradient(n_codes=8).discover(generator, classifier=base, attributes=["age"])
    with pytest.raises(LatdirError, match="no attributes were asked for"):
        Gradient(n_codes=8).discover(generator, classifier=base, attributes=[])
    with pytest.raises(LatdirError, match="n_codes 3 is too few"):
        Gradient(n_codes=3).discover(generator, classifier=base)
    # A type checker would have caught it; a command's user may have none.
    settings = Gradient(n_codes=8)
    object.__setattr__(settings, "center", "mode")
    with pytest.raises(LatdirError, match="no center 'mode': use one of clipped, median"):
        settings.__post_init__()
    with pytest.raises(LatdirError, match="batch_size is 0: give at least 1"):
        Gradient(n_codes=8, batch_size=0)
    constant = Of(base, lambda f: f * 0 + 1, base.names)
    with pytest.raises(LatdirError, match="gradient of 'factor_0' is zero at every code"):
        Gradient(n_codes=8).discover(generator, classifier=constant)
    detached = Of(base, lambda f: f.detach(), base.names)
    with pytest.raises(LatdirError, match="no gradient flows from the scores of of"):
        Gradient(n_codes=8).discover(generator, classifier=detached)
    samples = labeled(generator, base, 20)
    for change, text in (
        ({"fingerprint": "0" * 64}, "samples have generator 000000000000"),
        ({"classifier_fingerprint": "1" * 64}, "samples have classifier 111111111111"),
        ({"space": "w"}, "samples have space w, the gradients z"),
        ({"rendering": Rendering(0.7)}, "samples have truncation 0.7"),
    ):
        with pytest.raises(LatdirError, match=text):
            Gradient(n_codes=8).discover(
                generator, classifier=base, samples=dataclasses.replace(samples, **change)
            )


def test_both_methods_are_registered():
    assert find_method("gradient") is Gradient
    assert find_method("active_subspace") is ActiveSubspace


def test_the_active_subspace_sees_what_the_mean_gradient_cannot():
    generator = world("linear")
    base = generator.classifier()
    even = Of(base, lambda f: f[:, :1] ** 2 + 0.3 * f[:, 1:2] ** 2, ["fold"])
    bank = ActiveSubspace(n_codes=400, n_directions=3).discover(generator, classifier=even)
    first, second, third = (bank[f"fold.{i}"] for i in range(3))
    assert abs(float(first.vector @ generator.truth[0])) > 0.98
    assert abs(float(second.vector @ generator.truth[1])) > 0.98
    assert first.evidence["share"] > second.evidence["share"] > 10 * third.evidence["share"]
    assert first.evidence["mean_share"] < 0.05
    assert first.evidence["tied_with"] == []
    mean = Gradient(n_codes=400).discover(generator, classifier=even)["fold"]
    assert mean.evidence["expected_angle"] > 20

    straight = ActiveSubspace(n_codes=50, n_directions=1).discover(generator, classifier=base)
    assert cosines(straight, generator.truth).min() > 0.999
    assert straight["factor_0.0"].evidence["mean_share"] == pytest.approx(1, abs=1e-3)


def test_active_subspace_against_a_loop_over_outer_products():
    rng = torch.Generator().manual_seed(0)
    gradients = torch.randn(40, 6, generator=rng) * torch.arange(6, 0, -1)
    short = robust.clipped(gradients.double())
    moment = sum(torch.outer(g, g) for g in short) / 40
    values, vectors = torch.linalg.eigh(moment)
    found = active_subspace(gradients, n_directions=2)
    overlap = (found * vectors.T.flip(0)[:2]).sum(1).abs()
    torch.testing.assert_close(overlap, torch.ones(2, dtype=torch.float64))
    assert values.flip(0)[0] > values.flip(0)[1]


def test_active_subspace_refusals():
    generator = world()
    base = generator.classifier()
    with pytest.raises(LatdirError, match=r"5 directions from 8 codes .*give 1 … 4"):
        ActiveSubspace(n_codes=8, n_directions=5).discover(generator, classifier=base)
    constant = Of(base, lambda f: f * 0, base.names)
    with pytest.raises(LatdirError, match="'factor_0' is zero at every code"):
        ActiveSubspace(n_codes=8).discover(generator, classifier=constant)
