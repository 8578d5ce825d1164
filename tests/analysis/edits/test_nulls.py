import pytest
import torch
from scipy import stats

from analysis import (
    measure_curves,
    measure_effects,
    name_directions,
    permuted_labels,
    random_directions,
    random_null,
)
from analysis.evaluation import evaluate
from analysis.registry import MEASURES
from directions import LatdirError, Rendering
from directions.planted.world import planted
from tests.analysis.measured import bank_of, true_bank
from tests.worlds import Mapped, world


def test_random_directions_are_uniform_unit_vectors_with_the_prior_s_sigma():
    generator = world("anisotropic", dim=16)
    bank = random_directions(generator, n_directions=400, seed=1)
    vectors = bank.matrix()
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(400))
    # Coordinates of a uniform unit vector: (x + 1) / 2 is Beta((d - 1) / 2, (d - 1) / 2).
    uniform = stats.kstest((vectors[:, 3] + 1) / 2, stats.beta(7.5, 7.5).cdf)
    assert uniform.pvalue > 0.01
    for direction in bank.directions[:5]:
        assert direction.sigma == pytest.approx(generator.prior().sigma(direction.vector))
    assert not torch.equal(vectors, random_directions(generator, n_directions=400, seed=2).matrix())


def test_the_interval_is_what_theory_gives_and_holds_other_random_directions():
    generator = world(dim=64)
    classifier = generator.classifier()
    effects = measure_effects(generator, classifier, true_bank(generator), count=16)
    null = random_null(generator, classifier, effects, count=200)
    low, high = null.interval
    # A random unit direction's share of a fixed one has standard deviation 1/√d.
    torch.testing.assert_close(high - low, torch.full((4,), 2 * 1.972 / 8), rtol=0.15, atol=0)
    fresh = measure_effects(
        generator, classifier, random_directions(generator, n_directions=300, seed=8), count=16
    )
    assert 0.01 < float(null.outside(fresh).float().mean()) < 0.1
    outside = null.outside(effects)
    assert outside.diagonal().all()
    assert not outside[~torch.eye(4, dtype=torch.bool)].any()


def test_a_small_null_is_wider_and_still_covers():
    generator = world(dim=64)
    classifier = generator.classifier()
    effects = measure_effects(generator, classifier, true_bank(generator), count=8)
    fresh = measure_effects(
        generator, classifier, random_directions(generator, n_directions=200, seed=99), count=8
    )
    share = [
        float(
            random_null(generator, classifier, effects, count=5, seed=s)
            .outside(fresh)
            .float()
            .mean()
        )
        for s in range(20)
    ]
    assert abs(sum(share) / 20 - 0.05) < 0.03


def test_the_null_is_measured_like_the_effects_in_their_space():
    generator = Mapped(world())
    classifier = generator.classifier()
    bank = random_directions(generator, space="w", n_directions=2, seed=5)
    effects = measure_effects(
        generator,
        classifier,
        bank,
        count=8,
        step=0.5,
        symmetric=True,
        seed=6,
        rendering=Rendering(truncation=0.8),
        attributes=["factor_1"],
    )
    null = random_null(generator, classifier, effects, count=3)
    assert null.effects.curves.spaces == ("w",) * 3
    assert null.effects.source == effects.source
    assert (null.effects.step, null.effects.symmetric) == (0.5, True)
    assert null.names == ("factor_1",)


def test_null_refusals():
    generator = Mapped(world())
    classifier = generator.classifier()
    effects = measure_effects(generator, classifier, true_bank(generator), count=4)
    null = random_null(generator, classifier, effects, count=3)
    with pytest.raises(LatdirError, match="a null of 2 random directions is too few"):
        random_null(generator, classifier, effects, count=2)
    other = planted(seed=9)
    with pytest.raises(LatdirError, match="the effects were measured on mapped"):
        random_null(other, other.classifier(), effects)
    longer = measure_effects(generator, classifier, true_bank(generator), count=4, step=3.0)
    with pytest.raises(LatdirError, match=r"measured with step 2\.0 and the effects with 3\.0"):
        null.outside(longer)
    with pytest.raises(LatdirError, match="measured with scale score and the effects with logit"):
        null.outside(effects.logit)
    both = true_bank(generator).merge(random_directions(generator, space="w", n_directions=1))
    mixed = measure_effects(generator, classifier, both, count=4)
    with pytest.raises(LatdirError, match="of directions in the spaces w, z: choose one"):
        random_null(generator, classifier, mixed)
    part = measure_effects(
        generator, classifier, true_bank(generator), count=4, attributes=["factor_0"]
    )
    narrow = random_null(generator, classifier, part, count=3)
    with pytest.raises(LatdirError, match="the null has no attribute 'factor_1'"):
        narrow.outside(effects)


def least_squares(codes, scores):
    return torch.linalg.lstsq(codes, (scores - scores.mean())[:, None]).solution[:, 0]


def test_labels_that_mean_something_beat_shuffled_ones():
    codes = torch.randn(300, 12, generator=torch.Generator().manual_seed(0))
    test = permuted_labels(codes, codes[:, 3] + codes[:, 4], least_squares, permutations=39)
    assert test.observed > 0.95
    assert test.p_value == pytest.approx(1 / 40)
    assert test.null.abs().max() < 0.5
    torch.testing.assert_close(test.vectors.norm(dim=1), torch.ones(39))


def test_the_p_value_of_labels_that_mean_nothing_is_uniform():
    values = []
    for seed in range(120):
        rng = torch.Generator().manual_seed(seed)
        codes, scores = torch.randn(40, 4, generator=rng), torch.randn(40, generator=rng)
        test = permuted_labels(codes, scores, least_squares, permutations=19, seed=seed)
        values.append(test.p_value)
    values = torch.tensor(values)
    for level in (0.1, 0.3, 0.5, 0.8):
        assert abs(float((values <= level + 1e-6).float().mean()) - level) < 0.13


@pytest.mark.parametrize(
    ("n", "settings", "text"),
    [
        (4, {}, "are too few: at least 1 permutation, 2 codes to fit to and 3 held out"),
        (50, {"permutations": 0}, "0 permutations of 50 codes"),
    ],
)
def test_permutation_refusals(n, settings, text):
    codes = torch.randn(n, 2)
    with pytest.raises(LatdirError, match=text):
        permuted_labels(codes, codes[:, 0], least_squares, **settings)


def test_a_constant_attribute_cannot_be_permuted():
    with pytest.raises(LatdirError, match=r"all 30 scores are 0\.5: nothing can be learned"):
        permuted_labels(torch.randn(30, 2), torch.full((30,), 0.5), least_squares)


def test_the_interval_is_student_s_prediction_interval():
    generator = world("entangled")
    classifier = generator.classifier()
    effects = measure_effects(generator, classifier, true_bank(generator), count=6)
    null = random_null(generator, classifier, effects, count=4, level=0.9)
    low, high = null.interval
    for a in range(4):
        means = null.effects.mean[:, a].double().numpy()
        half = stats.t.ppf(0.95, 3) * means.std(ddof=1) * (1 + 1 / 4) ** 0.5
        assert float(low[a]) == pytest.approx(means.mean() - half, rel=1e-4)
        assert float(high[a]) == pytest.approx(means.mean() + half, rel=1e-4)


def test_the_null_is_drawn_like_differences_of_codes_unless_asked_otherwise():
    generator = planted(dim=24, condition=10.0, seed=3)
    classifier = generator.classifier()
    effects = measure_effects(generator, classifier, true_bank(generator), count=16)
    null = random_null(generator, classifier, effects, count=200)
    sphere = random_null(generator, classifier, effects, count=200, null="sphere")
    assert (null.kind, null.logit.kind, sphere.kind) == ("prior", "prior", "sphere")
    codes = generator.sample(400, seed=5)
    differences = bank_of(generator, **{f"d{i}": codes[i] - codes[200 + i] for i in range(200)})
    found = measure_effects(generator, classifier, differences, count=16)
    assert 0.01 < float(null.outside(found).float().mean()) < 0.1
    assert float(sphere.outside(found).float().mean()) > 0.12


class Watched(Mapped):
    """Notes the size of every batch of images."""

    def __init__(self, plain):
        super().__init__(plain)
        self.batches = []

    def inference(self, **options):
        render = super().inference(**options)

        def run(codes):
            self.batches.append(len(codes))
            return render(codes)

        return run


def test_bank_and_null_are_measured_in_one_pass():
    generator = Watched(world())
    classifier, bank = generator.classifier(), true_bank(generator)
    # The bank's images fill 18 batches, so that both ways have the same batches.
    rendering = Rendering(batch_size=8, precision="float32", progress=False)
    measures = dict.fromkeys(MEASURES, 0)
    found = evaluate(
        bank, generator, classifier, count=6, null=5, measures=measures, rendering=rendering
    )
    # 6 unmoved codes, then 4 directions by 6 amounts and 5 random ones by one.
    moved = 6 * (4 * 6 + 5)
    assert generator.batches == [6, *[8] * (moved // 8), moved % 8]
    again = random_null(generator, classifier, found.effects, count=5)
    assert torch.equal(found.null.effects.curves.scores, again.effects.curves.scores)
    alone = measure_curves(
        generator,
        classifier,
        bank,
        amounts=(-2.0, -1.0, -0.5, 0.5, 1.0, 2.0),
        count=6,
        rendering=rendering,
    )
    assert torch.equal(found.effects.curves.scores, alone.scores)
    assert found.effects.targets == alone.targets

    generator.batches.clear()
    named = name_directions(generator, classifier, bank, null=3, count=6, rendering=rendering)
    moved = 6 * 2 * (4 + 3)
    assert generator.batches == [6, *[8] * (moved // 8), moved % 8]
    null = random_null(generator, classifier, measured_like(named, generator, bank), count=3)
    given = name_directions(generator, classifier, bank, null=null, count=6, rendering=rendering)
    torch.testing.assert_close(given.t, named.t, rtol=0, atol=0)


def test_a_null_does_not_change_how_the_bank_is_rendered():
    generator = Watched(world())
    bank, measures = true_bank(generator), dict.fromkeys(MEASURES, 0)
    evaluate(bank, generator, generator.classifier(), count=64, null=16, measures=measures)
    # Fewer than 2,048 images of the bank: no settings are measured.
    assert sum(generator.batches) == 64 * (1 + 4 * 6 + 16)


def measured_like(named, generator, bank):
    source = named.effects.source
    return measure_effects(
        generator, generator.classifier(), bank, symmetric=True, count=source.count,
        seed=source.seed, rendering=source.rendering,
    )  # fmt: skip
