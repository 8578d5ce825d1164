"""Boundaries on planted data with the angles of theory, on real codes, and against references."""

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC

from directions import load_generator
from directions.bank import DirectionBank
from directions.classifiers.base import Attribute
from directions.errors import LatdirError
from directions.space import Prior
from discovery.estimators import linear, sums
from discovery.estimators.cones import angles, cone_angle, split_half
from discovery.estimators.held_out import auc, evidence, spearman
from discovery.estimators.linear import lda, mean_difference, ridge
from discovery.estimators.smooth_margin import smooth_margin
from discovery.estimators.svm import box, hinge_svm
from discovery.sampling.samples import Samples
from discovery.supervised.boundary import Boundary, Estimator
from discovery.supervised.extremes import interfacegan_rows
from tests.parity import FIXTURES

FIXTURE = FIXTURES / "interfacegan" / "boundaries.npz"
needs_fixture = pytest.mark.skipif(
    not FIXTURE.exists(), reason=f"parity data {FIXTURE.name} is not beside the repository"
)

N, D, K, FLIP = 6000, 40, 6, 0.1


def make_samples(codes, scores, *, kind="value", names=None) -> Samples:
    names = names or [f"a{j}" for j in range(scores.shape[1])]
    attributes = tuple(Attribute(name, kind) for name in names)
    return Samples(codes, scores, attributes, "z", "toy", "0" * 64, "exact", "1" * 64, seed=0)


def planted(n=N, d=D, k=K, *, seed=0):
    """Isotropic codes, unit truths, labels of the truths with a tenth of them flipped."""
    g = torch.Generator().manual_seed(seed)
    codes = torch.randn(n, d, generator=g)
    truth = torch.nn.functional.normalize(torch.randn(k, d, generator=g), dim=1)
    labels = torch.sign(truth @ codes.T)
    return codes, truth, torch.where(torch.rand(k, n, generator=g) < FLIP, -labels, labels)


def m_estimator(loss: str) -> float:
    """E[ψ²] / (E[ψ′] s)², the squared tangent of the angle per coordinate and sample.

    For labels y = sign(g) flipped with probability p and a margin m = y s g, g standard normal,
    the estimate is s β with the s that solves E[ψ(m) m] = 0, ψ = ℓ′, and its error orthogonal
    to β has variance E[ψ²] / (n E[ψ′]²) in each coordinate (van der Vaart 1998, Theorem 5.23;
    Koo et al. 2008, J. Mach. Learn. Res. 9, for the hinge).
    """
    g = torch.linspace(-9, 9, 200_001, dtype=torch.float64)
    density = torch.exp(-g.square() / 2)
    density /= density.sum()

    def mean(f):
        return float((density * ((1 - FLIP) * f(g.abs()) + FLIP * f(-g.abs()))).sum())

    def psi(m):
        if loss == "logistic":
            return -torch.sigmoid(-m)
        return -2 * (1 - m).clamp_min(0) if loss == "squared_hinge" else -(m < 1).double()

    low, high = 1e-3, 100.0
    for _ in range(80):
        s = (low * high) ** 0.5
        low, high = (s, high) if mean(lambda x, s=s: psi(s * x) * x) < 0 else (low, s)
    if loss == "hinge":
        slope = 2 * (1 - FLIP) * math.exp(-1 / (2 * s * s)) / math.sqrt(2 * math.pi) / s
    else:
        step = 1e-4
        slope = mean(lambda x: (psi(s * x + step) - psi(s * x - step)) / (2 * step))
    return mean(lambda x: psi(s * x).square()) / (slope * s) ** 2


# Correlation of a flipped label with its own projection.
RHO2 = (1 - 2 * FLIP) ** 2 * 2 / math.pi
PER_SAMPLE = {
    "ridge": (1 - RHO2) / RHO2,
    "lda": (1 - RHO2) / RHO2,
    "mean_difference": 1 / RHO2,
    "logistic": m_estimator("logistic"),
    "squared_hinge": m_estimator("squared_hinge"),
    "hinge": m_estimator("hinge"),
}


def fit(estimator, codes, labels):
    if estimator == "ridge":
        return ridge(codes, labels).weights
    if estimator == "lda":
        return lda(codes, labels).weights
    if estimator == "mean_difference":
        return mean_difference(codes, labels).weights
    if estimator == "hinge":
        return hinge_svm(codes, labels).weights
    bounds = box(labels, None, C=1.0, balanced=False)
    return smooth_margin(codes, labels, bounds, loss=estimator).weights


@pytest.mark.parametrize("estimator", PER_SAMPLE)
def test_the_angle_to_the_truth_is_the_one_of_theory(estimator):
    # tan² of one target is a χ² of d − 1 degrees over d − 1: six average to ± 9 %.
    codes, truth, labels = planted()
    found = angles(fit(estimator, codes, labels)[None], truth)[0].deg2rad().tan().square().mean()
    predicted = PER_SAMPLE[estimator] * (D - 1) / (N - D - 1)
    assert 0.7 < float(found) / predicted < 1.35


def test_soft_scores_beat_labels_as_theory_says():
    codes, truth, _ = planted()
    noise = torch.randn(K, N, generator=torch.Generator().manual_seed(5))
    scores = truth @ codes.T + noise
    bank = Boundary(bootstrap=0).discover(make_samples(codes, scores.T.contiguous()))
    found = angles(bank.matrix()[None], truth)[0].deg2rad().tan().square().mean()
    assert 0.7 < float(found) / ((D - 1) / (N - D - 1)) < 1.35


@pytest.mark.parametrize(("n", "d"), [(500, 12), (60, 100)])
def test_penalized_estimators_are_scikit_learns(n, d):
    codes, _, labels = planted(n, d, 2, seed=3)
    x, y = codes.double().numpy(), labels.double().numpy()
    bounds = box(labels, None, C=0.7, balanced=False)
    cases = [
        (ridge(codes, labels, penalty=3.0), lambda: Ridge(3.0)),
        (
            smooth_margin(codes, labels, bounds, loss="logistic"),
            lambda: LogisticRegression(C=0.7, tol=1e-9, max_iter=2000),
        ),
        (
            smooth_margin(codes, labels, bounds, loss="squared_hinge"),
            lambda: LinearSVC(C=0.7, dual=False, intercept_scaling=1e3, tol=1e-11, max_iter=9999),
        ),
    ]
    if n > d:
        cases.append((lda(codes, labels), lambda: LinearDiscriminantAnalysis(solver="lsqr")))
    for ours, make in cases:
        for k in range(2):
            theirs = make().fit(x, y[k])
            np.testing.assert_allclose(ours.weights[k], np.ravel(theirs.coef_), atol=2e-4)
            np.testing.assert_allclose(
                ours.intercepts[k], np.ravel(theirs.intercept_)[0], atol=2e-4
            )


def test_the_chosen_penalty_predicts_best():
    codes, truth, _ = planted(150, 100, 4, seed=2)
    g = torch.Generator().manual_seed(9)
    targets = truth @ codes.T + torch.randn(4, 150, generator=g)
    error = {
        p: float(angles(ridge(codes, targets, penalty=p).weights[None], truth).mean())
        for p in (1e-2, 1.0, 30.0, 100.0, 300.0)
    }
    chosen = float(angles(ridge(codes, targets).weights[None], truth).mean())
    assert chosen < 1.1 * min(error.values())
    assert chosen < 0.9 * error[1e-2]


@pytest.fixture(scope="module")
def official_data():
    with np.load(FIXTURE) as file:
        return dict(file)


@needs_fixture
class TestInterFaceGAN:
    """Parity with the official code on 6,000 real codes."""

    runs = (
        ("male", {}),
        ("expr1", {}),
        ("age", {}),
        ("male_ratio0.2", {"chosen_num_or_ratio": 0.2}),
        (
            "male_num500_split0.9_seed7",
            {"chosen_num_or_ratio": 500.0, "split_ratio": 0.9, "seed": 7},
        ),
    )

    @pytest.mark.parametrize(("run", "options"), runs)
    def test_rows_are_the_official_ones(self, official_data, run, options):
        scores = torch.from_numpy(official_data["score_" + run.split("_")[0]][:, 0])
        rows = interfacegan_rows(scores, **options)
        for name, ours in zip(("train_pos", "train_neg", "val_pos", "val_neg"), rows, strict=True):
            np.testing.assert_array_equal(ours, official_data[f"{name}_{run}"])

    @pytest.mark.parametrize(("run", "options"), runs)
    def test_normal_and_intercept_are_the_official_ones(self, official_data, run, options):
        attribute = run.split("_")[0]
        samples = make_samples(
            torch.from_numpy(official_data["Z"]),
            torch.from_numpy(official_data["score_" + attribute]).float(),
            names=[attribute],
        )
        seed = options.get("seed", 0)
        settings = {name: value for name, value in options.items() if name != "seed"}
        method = Boundary(estimator="interfacegan", bootstrap=0, **settings)
        found = method.discover(samples, seed=seed)
        direction = found[attribute]
        official = torch.from_numpy(official_data["boundary_" + run][0])
        # SVC's tolerance of 1e-3 leaves the run with overlapping classes 2e-5 above the optimum.
        loose = run == "male_ratio0.2"
        cosine = float(direction.vector.double() @ official.double())
        assert cosine > (0.99998 if loose else 0.99999)
        norm = np.linalg.norm(official_data["svc_coef_" + run])
        assert direction.offset == pytest.approx(
            official_data["svc_intercept_" + run][0] / norm, abs=1e-3
        )

    def test_the_default_uses_the_labels_better(self, official_data):
        names = ["male", "expr1", "age"]
        scores = np.concatenate([official_data["score_" + n] for n in names], 1)
        samples = make_samples(
            torch.from_numpy(official_data["Z"]), torch.from_numpy(scores).float(), names=names
        )
        ours = Boundary().discover(samples)
        theirs = Boundary(estimator="interfacegan", bootstrap=8).discover(samples)
        for name in names:
            mine, other = ours[name].evidence, theirs[name].evidence
            assert mine["rank_correlation"] > other["rank_correlation"] + 0.08
            assert mine["cone_degrees"] < 0.6 * other["cone_degrees"]
        assert ours["male"].evidence["rank_correlation"] > 0.45
        assert ours["expr1"].evidence["accuracy_extremes"] > 0.92


@pytest.mark.parametrize("estimator", [*PER_SAMPLE, "interfacegan"])
def test_every_estimator_makes_a_whole_bank_of_codes_of_any_shape(estimator):
    codes, truth, _ = planted(1200, 12, 2, seed=1)
    scores = 3 * (truth @ codes.T).T + 1
    samples = make_samples(codes.reshape(1200, 3, 4), scores.contiguous())
    settings = Boundary(estimator=estimator, bootstrap=4, chosen_num_or_ratio=0.1)
    bank = settings.discover(samples)
    again = settings.discover(samples)
    assert isinstance(bank, DirectionBank)
    assert list(bank) == ["a0", "a1"]
    for k, d in enumerate(bank.values()):
        assert d.vector.shape == (3, 4)
        assert d.method == "boundary"
        assert d.config["estimator"] == estimator
        assert torch.equal(d.vector, again[d.name].vector)
        assert d.evidence == again[d.name].evidence
        assert float(d.vector.flatten() @ truth[k]) > 0.95
        assert d.sigma == pytest.approx(1, abs=0.1)
        # The plane lies where the score crosses its median, here within a tenth of sigma.
        level = d.level(samples.codes)
        assert abs(float((level > 0).double().mean()) - 0.5) < 0.05
        assert d.evidence["accuracy"] > 0.85
        assert d.evidence["rank_correlation"] > 0.9
        assert 0 < d.evidence["cone_degrees"] < 30


@pytest.mark.parametrize("estimator", [*PER_SAMPLE, "interfacegan"])
def test_more_coordinates_than_samples(estimator):
    codes, truth, _ = planted(80, 120, 1, seed=4)
    samples = make_samples(codes, (truth @ codes.T).T.contiguous())
    settings = Boundary(estimator=estimator, bootstrap=2, chosen_num_or_ratio=0.4)
    if estimator == "lda":
        with pytest.raises(LatdirError, match="lda inverts a covariance of 120 coordinates"):
            settings.discover(samples)
        return
    # A random direction has cosine 0 ± 0.09; even 64 rows of 120 coordinates tell much more.
    assert float(settings.discover(samples)["a0"].vector @ truth[0]) > 0.4


def test_the_sign_follows_the_score_and_rotations_carry_over():
    codes, truth, _ = planted(400, 6, 1, seed=6)
    score = (truth @ codes.T).T + 0.3 * codes[:, :1].square()
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))
    for estimator in PER_SAMPLE:
        method = Boundary(estimator=estimator, bootstrap=0)
        base = method.discover(make_samples(codes, score))["a0"]
        flipped = method.discover(make_samples(codes, -score))["a0"]
        turned = method.discover(make_samples(codes @ turn, score))["a0"]
        torch.testing.assert_close(flipped.vector, -base.vector, atol=5e-3, rtol=0)
        torch.testing.assert_close(turned.vector, base.vector @ turn, atol=5e-3, rtol=0)
        # A monotone change of the score changes nothing that ranks decide.
        warped = method.discover(make_samples(codes, score.exp()))["a0"]
        torch.testing.assert_close(warped.vector, base.vector, atol=1e-4, rtol=0)


def test_ambiguous_rows_are_left_out_and_classes_balanced():
    codes, truth, _ = planted(2000, 8, 2, seed=7)
    scores = torch.sigmoid(2 * (truth @ codes.T)).T.contiguous()
    samples = make_samples(codes, scores, kind="probability")
    for estimator in ("ridge", "lda", "logistic", "hinge", "mean_difference"):
        bank = Boundary(estimator=estimator, ambiguous=0.4, bootstrap=3).discover(samples)
        assert {d.evidence["rows"] for d in bank.values()} == {1200}
        assert all(float(d.vector @ truth[k]) > 0.99 for k, d in enumerate(bank.values()))
    plain = Boundary(estimator="logistic", threshold=0.9, bootstrap=0).discover(samples)["a0"]
    fair = Boundary(estimator="logistic", threshold=0.9, balanced=True, bootstrap=0)
    # Class weights move the plane toward the frequent class, so more codes lie above it.
    above = [float((d.level(codes) > 0).sum()) for d in (plain, fair.discover(samples)["a0"])]
    assert above[1] > 1.2 * above[0]


@pytest.mark.parametrize("scale", ["rank", "log_odds", "raw"])
@pytest.mark.parametrize("estimator", ["ridge", "logistic", "interfacegan"])
def test_the_plane_lies_at_the_threshold(estimator, scale):
    codes, truth, _ = planted(4000, 8, 1, seed=7)
    scores = torch.sigmoid(2 * (truth @ codes.T)).T.contiguous()
    samples = make_samples(codes, scores, kind="probability")
    method = Boundary(estimator=estimator, scale=scale, threshold=0.9, bootstrap=0)
    direction = method.discover(samples)["a0"]
    # The recipe knows no threshold: its plane lies half-way between the two extremes.
    share = 0.5 if estimator == "interfacegan" else float((scores > 0.9).double().mean())
    assert abs(float((direction.level(codes) > 0).double().mean()) - share) < 0.06
    assert direction.evidence["threshold"] == pytest.approx(0.9)


def test_the_cone_is_the_error_it_stands_for():
    # With 95 % of replicates inside, the cone lies a little outside the typical angle.
    for n, d in ((4000, 30), (400, 60)):
        codes, truth, _ = planted(n, d, 8, seed=8)
        targets = truth @ codes.T + torch.randn(8, n, generator=torch.Generator().manual_seed(1))
        cone = cone_angle(codes, targets)
        actual = angles(ridge(codes, targets, penalty=0.0).weights[None], truth)[0]
        assert 1.0 < float(cone.mean() / actual.mean()) < 1.5
        assert (cone > 0.9 * actual).double().mean() > 0.8


def test_the_cone_needs_rows():
    codes, _, labels = planted(30, 40, 1)
    with pytest.raises(LatdirError, match="30 rows of 40 coordinates give no cone: label more"):
        cone_angle(codes, labels)


def test_split_half_recovers_the_angle_of_the_whole():
    codes, truth, _ = planted(6000, 60, 8, seed=3)
    targets = truth @ codes.T + 2 * torch.randn(8, 6000, generator=torch.Generator().manual_seed(1))
    halves = [ridge(codes[r], targets[:, r]).weights for r in (slice(3000), slice(3000, None))]
    actual = angles(ridge(codes, targets).weights[None], truth)[0].mean()
    assert float(split_half(*halves).mean() / actual) == pytest.approx(1, abs=0.12)


def test_held_out_figures_are_the_references():
    g = torch.Generator().manual_seed(0)
    score = torch.randint(0, 9, (300,), generator=g).float()
    level = score - 4 + 3 * torch.randn(300, generator=g)
    figures = evidence(level, score, 4.0)
    assert spearman(level, score) == pytest.approx(spearmanr(level, score)[0])
    assert auc(level, score > 4) == pytest.approx(roc_auc_score(score > 4, level))
    assert auc(level, score > 99) is None
    assert figures["accuracy"] == pytest.approx(float(((level > 0) == (score > 4)).float().mean()))
    assert evidence(torch.tensor([-1.0, 1.0] * 10), torch.tensor([0.0, 1.0] * 10), 0.5) == {
        "accuracy": 1.0,
        "accuracy_extremes": 1.0,
        "auc": 1.0,
        "rank_correlation": pytest.approx(1.0),
        "held_out": 20,
    }


def test_held_out_samples_stay_out():
    # Scores that are pure noise cannot be predicted, however many coordinates fit them.
    g = torch.Generator().manual_seed(0)
    samples = make_samples(torch.randn(300, 150, generator=g), torch.randn(300, 1, generator=g))
    found = Boundary(penalty=0.0, bootstrap=0).discover(samples)["a0"].evidence
    assert abs(found["rank_correlation"]) < 0.35
    assert found["held_out"] == 60


@pytest.mark.parametrize(
    ("settings", "scores", "text"),
    [
        ({}, torch.ones(50, 1), r"attribute 'a0' is constant \(1 for all 50 samples\)"),
        (
            {"threshold": 0.0},
            torch.rand(50, 1) + 1,
            "all 50 scores of 'a0' are above the threshold 0",
        ),
        ({"threshold": 9.0}, torch.rand(50, 1), "are at or below the threshold 9"),
        ({"estimator": "svm"}, torch.rand(50, 1), "no estimator 'svm': use one of ridge, lda"),
        ({"scale": "log"}, torch.rand(50, 1), "no scale 'log': use one of rank, log_odds, raw"),
        ({"validation": 1.0}, torch.rand(50, 1), r"validation is a fraction in \[0, 1\), not 1.0"),
        ({"bootstrap": -1}, torch.rand(50, 1), "bootstrap is -1: 0 makes no replicates"),
        ({"ambiguous": 0.99}, torch.rand(50, 1), "ambiguous=0.99 leaves 'a0' one class"),
        ({"balanced": True}, torch.rand(50, 1), "balanced does not apply to ridge"),
        ({"penalty": -1.0}, torch.rand(50, 1), "penalty must not be negative, not -1"),
        ({"estimator": "hinge", "C": 0.0}, torch.rand(50, 1), "C and tolerance must be positive"),
        ({"split_ratio": 0.0}, torch.rand(50, 1), r"split_ratio 0.0 must be in \(0, 1\]"),
        ({"estimator": "interfacegan"}, torch.rand(50, 1), "0.02 of 50 samples leaves nothing"),
        ({}, torch.rand(5, 1), "5 samples are too few for a boundary: label 10 or more"),
    ],
)
def test_refusals(settings, scores, text):
    method = Boundary()
    for name, value in settings.items():
        # Past the constructor, whose types the tests check at run time and users' programs do not.
        object.__setattr__(method, name, value)

    def refused():
        method.__post_init__()
        method.discover(make_samples(torch.randn(len(scores), 4), scores))

    with pytest.raises(LatdirError, match=text) as caught:
        refused()
    assert "\n" not in str(caught.value)


def test_unknown_attributes_and_broken_codes_are_refused():
    samples = make_samples(torch.randn(50, 4), torch.rand(50, 1))
    with pytest.raises(LatdirError, match="no attribute 'smile': they have a0"):
        Boundary().discover(samples, attributes=["smile"])
    with pytest.raises(LatdirError, match="name at least one attribute of a0"):
        Boundary().discover(samples, attributes=[])
    with pytest.raises(LatdirError, match="50 of 50 codes are NaN or infinite: leave them out"):
        Boundary().discover(make_samples(torch.full((50, 4), torch.nan), torch.rand(50, 1)))


@pytest.mark.parametrize("estimator", get_args(Estimator))
def test_codes_that_tell_nothing_are_refused_by_every_estimator(estimator):
    codes, labels = torch.randn(60, 5), torch.rand(60, 1)
    method = Boundary(estimator=estimator)
    for equal in (codes * 0, codes[:1].expand(60, 5)):
        with pytest.raises(LatdirError, match="all 60 codes are equal: nothing in them tells"):
            method.discover(make_samples(equal, labels))
    with pytest.raises(LatdirError, match=r"codes as large as .*e\+20 cannot be squared"):
        method.discover(make_samples(codes * 1e20, labels))


def test_ties_at_the_median_still_leave_two_classes():
    codes, truth, _ = planted(400, 4, 1)
    scores = (truth @ codes.T > -1).float().T.contiguous()
    found = Boundary(estimator="logistic", bootstrap=0).discover(make_samples(codes, scores))
    assert found["a0"].evidence["threshold"] == 0
    assert float(found["a0"].vector @ truth[0]) > 0.95


def test_a_bank_of_boundaries_can_be_saved(tmp_path):
    codes, truth, _ = planted(300, 6, 2)
    bank = Boundary().discover(make_samples(codes, (truth @ codes.T).T.contiguous()))
    read = DirectionBank.load(bank.save(tmp_path / "bank.safetensors"))
    assert read["a1"].evidence == dict(bank["a1"].evidence)
    assert read["a1"].config == dict(bank["a1"].config)


@pytest.mark.parametrize(("name", "space"), [("digiface64", "z"), ("styleface64", "w")])
def test_sigma_is_the_priors_however_few_the_rows(name, space):
    generator = load_generator(name)
    codes = generator.sample(1000, seed=0, space=space)
    truth = torch.randn(2, codes.shape[1], generator=torch.Generator().manual_seed(1))
    scores = codes @ truth.T + torch.randn(1000, 2, generator=torch.Generator().manual_seed(2))
    whole = Samples.from_arrays(codes, scores, ["a0", "a1"], generator=generator, space=space)
    for n in (20, 30, 60, 100, 150, 200, 1000):
        for estimator in ("ridge", "mean_difference"):
            method = Boundary(estimator=estimator, bootstrap=0, validation=0.0)
            for d in method.discover(whole.rows(slice(n))).values():
                assert d.sigma == pytest.approx(generator.prior(space).sigma(d.vector), rel=1e-5)
                assert d.evidence["sigma_source"] == "generator"
                if space == "z":
                    assert d.sigma == pytest.approx(1.0, abs=1e-6)


def test_sigma_without_a_prior_is_that_of_all_samples_and_says_so(caplog):
    codes, truth, _ = planted(1000, 60, 1, seed=4)
    whole = make_samples(codes, (truth @ codes.T).T.contiguous())
    with caplog.at_level("INFO"):
        found = Boundary(bootstrap=0).discover(whole.rows(slice(50)))["a0"]
    assert found.evidence["sigma_source"] == "samples"
    assert found.sigma == pytest.approx(float((codes @ found.vector).std()), rel=1e-4)
    assert "sigma is the standard deviation of the samples" in caplog.text


def test_a_class_without_training_rows_names_its_attribute():
    scores = torch.zeros(40, 2)
    scores[:, 0] = torch.arange(40.0)
    out = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:8]
    scores[out[0], 1] = 1  # its only positive is held out
    with pytest.raises(LatdirError, match="no training row of 'a1' is above its threshold"):
        Boundary(threshold=0.5, bootstrap=0).discover(make_samples(torch.randn(40, 4), scores))


@pytest.mark.parametrize("estimator", ["mean_difference", "logistic", "hinge", "ridge"])
def test_cones_of_few_rows_are_the_error_they_stand_for(estimator):
    cones, actual = [], []
    for seed in range(3):
        codes, truth, labels = planted(90, 100, 4, seed=seed)
        method = Boundary(estimator=estimator, bootstrap=10, validation=0.0)
        bank = method.discover(make_samples(codes, labels.T.contiguous()))
        cones += [d.evidence["cone_degrees"] for d in bank.values()]
        actual += angles(torch.stack([d.vector for d in bank.values()])[None], truth).tolist()[0]
    assert 0.85 < np.mean(cones) / np.mean(actual) < 1.3


def test_one_row_of_a_class_tells_nothing():
    codes = torch.randn(30, 40, generator=torch.Generator().manual_seed(0))
    samples = make_samples(codes, (torch.arange(30) == 7).float()[:, None])
    bank = Boundary(estimator="mean_difference", bootstrap=2, validation=0.0).discover(samples)
    assert bank["a0"].evidence["cone_degrees"] == 90


@pytest.mark.parametrize(
    ("positives", "message"),
    [
        (2, "only 2 of 60 labels of 'a0' are positive: even without errors its direction is off "
         "by about 72°; label about 20 of them for 45°"),
        (57, "only 3 of 60 labels of 'a0' are negative"),
        (30, ""),
    ],
)  # fmt: skip
def test_too_few_labels_of_a_class_are_warned_of(positives, message, caplog):
    codes = torch.randn(60, 100, generator=torch.Generator().manual_seed(0))
    order = codes[:, 0].argsort(descending=True)
    labels = torch.zeros(60)
    labels[order[:positives]] = 1
    samples = replace(make_samples(codes, labels[:, None]), prior=Prior.standard(100))
    Boundary(bootstrap=0, validation=0.0).discover(samples)
    assert message in caplog.text
    assert bool(caplog.text) == bool(message)


@pytest.mark.parametrize("estimator", ["ridge", "lda"])
@pytest.mark.parametrize(("ambiguous", "times"), [(0.0, 2), (0.2, 4)])
def test_codes_are_factorized_once_for_planes_and_cones(estimator, ambiguous, times, monkeypatch):
    codes = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    samples = make_samples(codes, codes[:, :2].clone())
    method = Boundary(estimator=estimator, ambiguous=ambiguous)
    expected = method.discover(samples)
    turned = []
    axes_of = linear.axes_of

    def counted(*args):
        turned.append(len(args[0]))
        return axes_of(*args)

    for module in (linear, sums):
        monkeypatch.setattr(module, "axes_of", counted)
    found = method.discover(samples)
    # All rows and the training rows, each once, or once for each target of rows of its own.
    assert len(turned) == times
    assert torch.equal(found.matrix(), expected.matrix())
    plane = {d.name: d.evidence["cone_degrees"] for d in expected.directions}
    assert {d.name: d.evidence["cone_degrees"] for d in found.directions} == plane
