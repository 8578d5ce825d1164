"""Metrics of representations: perfect, useless, degenerate codes; slow references; entanglement."""

import itertools
import math
import sys
import tracemalloc

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import mutual_info_score
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeRegressor

from analysis.intervals.half_samples import half_sample_scores
from analysis.representation.dci import completeness, dci, disentanglement, stylespace_dci
from analysis.representation.explicitness import explicitness
from analysis.representation.factorvae import _least_varying, factorvae_score
from analysis.representation.mig import mig, mutual_information
from analysis.representation.modularity import modularity, modularity_of
from analysis.representation.rows import as_classes, split_rows
from analysis.representation.sap import sap
from analysis.representation.scores import METRICS, disentanglement_scores, entanglement_sweep
from analysis.representation.trees.boosting import Binned, boost
from analysis.representation.trees.histogram import grow_on_histograms
from analysis.representation.trees.sorted import grow_on_sorted_rows
from directions.errors import LatdirError
from directions.planted import entangled_world

COUNTS = (4, 3, 2)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def factors(n=600, counts=COUNTS, seed=0):
    columns = [torch.randint(c, (n,), generator=rng(seed + j)) for j, c in enumerate(counts)]
    return torch.stack(columns, 1)


def mixed(n=800, seed=0, codes=5):
    y = factors(n, seed=seed)
    weights = torch.randn(len(COUNTS), codes, generator=rng(seed + 9), dtype=torch.float64)
    noise = torch.randn(n, codes, generator=rng(seed + 10), dtype=torch.float64)
    return y.double() @ weights + 0.5 * noise, y


def scores(x, y, **options):
    found = disentanglement_scores(x, y, model="logistic", **options)
    return {name: score.value for name, score in found.items()}


def test_perfect_codes():
    y = factors()
    found = scores(y.double() * torch.tensor([2.0, -3.0, 10.0]), y)
    for name in ("MIG", "modularity", "FactorVAE", "disentanglement", "completeness"):
        assert found[name] == pytest.approx(1, abs=0.02), name
    assert found["explicitness"] == pytest.approx(1, abs=1e-6)
    assert found["SAP"] > 0.3
    trees = dci(y.double(), y)
    assert trees.disentanglement > 0.99
    assert trees.completeness > 0.99
    assert trees.informativeness == 1


def test_useless_codes():
    y = factors(2000)
    x = torch.randn(2000, 4, generator=rng(5))
    found = scores(x, y)
    chance = {"MIG": (0, 0.03), "SAP": (0, 0.06), "explicitness": (0.45, 0.55)}
    chance |= {"informativeness": (0.25, 0.45), "FactorVAE": (0.25, 0.5)}
    for name, (low, high) in chance.items():
        assert low <= found[name] <= high, name


def test_copies_are_incomplete_but_disentangled():
    y = factors()
    twice = y.double().repeat(1, 2)
    found = scores(twice, y)
    assert found["MIG"] == 0
    assert found["SAP"] == 0
    trees = dci(twice, y)
    # The two copies share the splits: entropy log 2 of log 6.
    assert trees.completeness == pytest.approx(1 - math.log(2) / math.log(6), abs=0.02)
    assert trees.disentanglement > 0.99


def test_dead_codes_change_nothing():
    x, y = mixed()
    dead = torch.cat([x, torch.full((len(x), 1), 3.0, dtype=x.dtype)], 1)
    for metric in (mig, lambda a, b: sap(a, b), explicitness):
        assert metric(dead, y).score == pytest.approx(metric(x, y).score, abs=1e-9)
    assert dci(dead, y[:, 2], bins=16).importance[-1].eq(0).all()
    assert dci(dead, y, model="logistic").importance[-1].eq(0).all()
    assert modularity(dead, y).per_code[-1] == 0
    assert not factorvae_score(dead, y, train=50, test=50).active[-1]
    nothing = torch.ones(len(x), 2)
    assert factorvae_score(nothing, y).score == 0
    assert dci(nothing, y).disentanglement == 0
    assert mig(nothing, y).score == 0


def test_constant_attributes_are_left_out():
    x, y = mixed()
    constant = torch.cat([y, torch.zeros_like(y[:, :1])], 1)
    for metric in (mig, sap, explicitness):
        assert metric(x, constant).score == pytest.approx(metric(x, y).score, abs=1e-9)
    assert math.isnan(float(mig(x, constant).gaps[-1]))
    found, without = (dci(x, table, model="logistic") for table in (constant, y))
    assert found.left_out.tolist() == [False, False, False, True]
    assert found.disentanglement == pytest.approx(without.disentanglement)
    for metric in (mig, sap, dci, explicitness, factorvae_score):
        with pytest.raises(LatdirError, match=r"constant|no attribute has two classes"):
            metric(x, torch.zeros_like(y))


def test_one_attribute_has_no_disentanglement_and_one_code_no_gap():
    x, y = mixed()
    found = dci(x, y[:, 0], model="logistic")
    assert math.isnan(found.disentanglement)
    assert 0 <= found.completeness <= 1
    assert math.isnan(modularity(x, y[:, 0]).score)
    assert math.isnan(dci(x[:, :1], y, model="logistic").completeness)
    for metric in (mig, sap):
        with pytest.raises(LatdirError, match="at least 2 codes, not 1"):
            metric(x[:, :1], y)


def test_a_class_of_one_row_is_no_obstacle():
    x, y = mixed(200)
    for row in (10, 11):  # once among the rows learned from, once among those tested on
        rare = y.clone()
        rare[row, 0] = 9
        assert all(map(math.isfinite, scores(x, rare).values()))
        assert math.isfinite(dci(x[:, :2], rare[:, 0], bins=8).informativeness)


def test_mutual_information_and_gap_against_scikit_learn():
    x, y = mixed()
    bins = [np.digitize(c, np.histogram(c, 20)[1][:-1]) for c in x.numpy().T]
    slow = np.array([[mutual_info_score(b, a) for b in y.numpy().T] for a in bins])
    np.testing.assert_allclose(mutual_information(x, y).numpy(), slow, atol=1e-10)
    entropy = [scipy.stats.entropy(np.bincount(c)) for c in y.numpy().T]
    top = np.sort(slow, 0)[::-1]
    assert mig(x, y).score == pytest.approx(np.mean((top[0] - top[1]) / entropy), abs=1e-10)


def test_codes_on_the_edges_of_bins_fall_as_in_numpy():
    x = torch.arange(0, 3, 0.1, dtype=torch.float64).repeat(2)[:, None]
    labels = (torch.arange(len(x)) % 7)[:, None]
    bins = np.digitize(x[:, 0].numpy(), np.histogram(x.numpy(), 20)[1][:-1])
    expected = mutual_info_score(labels[:, 0].numpy(), bins)
    assert float(mutual_information(x, labels)) == pytest.approx(expected, abs=1e-12)


def test_many_codes_in_bounded_pieces(monkeypatch):
    x, y = mixed(codes=12)
    whole = mutual_information(x, y)
    monkeypatch.setattr(sys.modules[mig.__module__], "CHUNK", 3 * len(x))
    assert torch.equal(mutual_information(x, y), whole)


def test_sap_against_one_machine_a_pair():
    x, y = mixed(1200)
    test_x, test_y = mixed(1200, seed=40)
    test_x = test_x.flip(1)[:, : x.shape[1]]
    found = sap(x, y, held_out=(test_x, test_y))
    for i in range(x.shape[1]):
        for j in range(y.shape[1]):
            model = LinearSVC(C=0.01, class_weight="balanced", tol=1e-8, max_iter=100_000)
            model.fit(x[:, [i]].numpy(), y[:, j].numpy())
            accuracy = np.mean(model.predict(test_x[:, [i]].numpy()) == test_y[:, j].numpy())
            assert float(found.scores[i, j]) == pytest.approx(accuracy, abs=0.0017)


def test_sap_of_values_is_the_gap_of_squared_correlations():
    x, y = mixed()
    values = y.double() + 0.1 * x[:, :1]
    found = sap(x, values)
    slow = np.corrcoef(x.numpy().T, values.numpy().T)[:5, 5:] ** 2
    np.testing.assert_allclose(found.scores.numpy(), slow, atol=1e-12)
    top = np.sort(slow, 0)
    assert found.score == pytest.approx(np.mean(top[-1] - top[-2]))
    assert found.kind == "values"


def test_modularity_against_the_formula():
    information = torch.rand(6, 4, generator=rng())
    slow = []
    for row in information.tolist():
        m = max(row)
        slow.append(1 - sum(v * v for v in row if v != m) / (m * m * 3))
    assert modularity_of(information).per_code.tolist() == pytest.approx(slow, abs=1e-5)


def test_dci_scores_against_scipy():
    matrix = torch.rand(7, 4, generator=rng(), dtype=torch.float64)
    r = matrix.numpy()
    per_code = 1 - scipy.stats.entropy(r.T + 1e-11, base=4)
    per_factor = 1 - scipy.stats.entropy(r + 1e-11, base=7)
    assert disentanglement(matrix) == pytest.approx(per_code @ r.sum(1) / r.sum(), abs=1e-8)
    assert completeness(matrix) == pytest.approx(per_factor @ r.sum(0) / r.sum(), abs=1e-8)


@pytest.mark.parametrize("attribute", [0, 2])  # four classes, and two
def test_exact_trees_are_scikit_learns(attribute):
    x, y = (t.numpy() for t in mixed(240))
    label = y[:, attribute]
    found = boost(Binned.of(x[:160], x[160:], bins=None), label[:160], stages=30)
    model = GradientBoostingClassifier(n_estimators=30, random_state=0).fit(x[:160], label[:160])
    np.testing.assert_allclose(found.importance, model.feature_importances_, atol=0.02)
    assert np.mean(found.predicted == model.predict(x[160:])) > 0.95
    assert np.array_equal(found.fitted, model.predict(x[:160]))


@pytest.mark.parametrize("decimals", [12, 2])  # every value once, and many values twice
def test_trees_part_single_rows_as_scikit_learns_do(decimals):
    random = np.random.default_rng(0)
    x = random.standard_normal((1500, 6)).round(decimals)
    # Few large residuals, as of boosting's late stages.
    residuals = random.standard_normal((1500, 4)) ** 5 + x[:, :1]
    exact, binned = (Binned.of(x, x, bins=b) for b in (None, 15))
    found = grow_on_sorted_rows(exact, residuals, 3, random)
    coarse = grow_on_histograms(binned, residuals, 3, random)
    assert np.array_equal(found.walk(exact.test_places), found.leaves)
    for c, y in enumerate(residuals.T):
        tree = DecisionTreeRegressor(max_depth=3, random_state=0).fit(x, y)
        taken = len(y) * (tree.tree_.impurity[0] - np.mean((y - tree.predict(x)) ** 2))
        assert found.gains[:, c].sum() == pytest.approx(taken, rel=1e-9)
        means = [y[found.leaves[:, c] == leaf].mean() for leaf in found.leaves[:, c]]
        np.testing.assert_allclose(means, tree.predict(x), atol=1e-9)
    # Bins of 100 rows cannot, and take away less.
    assert coarse.gains.sum() < 0.9 * found.gains.sum()


def test_sorted_rows_and_histograms_grow_the_same_trees():
    random = np.random.default_rng(0)
    x, residuals = random.standard_normal((700, 5)), random.standard_normal((700, 3))
    x[:, 4] = 1.0  # a dead code
    binned = Binned.of(x, x[:50], bins=40)
    first, second = (
        grow(binned, residuals, 3, random) for grow in (grow_on_histograms, grow_on_sorted_rows)
    )
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    constant = grow_on_sorted_rows(binned, np.ones((700, 2)), 3, random)
    assert constant.leaves.max() == constant.gains.max() == 0
    assert constant.walk(binned.test_places).max() == 0


def test_memory_of_wide_codes_does_not_grow_with_classes(monkeypatch):
    random = np.random.default_rng(0)
    x, y = random.standard_normal((200, 2000)), random.integers(0, 12, 200)
    binned = Binned.of(x, x[:2], bins=20)
    assert binned.widths.max() * 4 <= len(x)
    whole = boost(binned, y, stages=1).importance
    monkeypatch.setattr("analysis.representation.trees.binned.CHUNK", 40_000)
    monkeypatch.setattr("analysis.representation.trees.histogram.KEPT", 200_000)
    tracemalloc.start()
    found = boost(Binned.of(x, x[:2], bins=20), y, stages=1).importance
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(found.sum(), whole.sum())
    # The histograms of all classes and both children alone are 20 times 2,000 codes × 20 bins.
    assert peak < 10 * 8 * 2000 * 20 + 3 * x.nbytes


def test_trees_in_pieces_are_the_same(monkeypatch):
    x, y = (t.numpy() for t in mixed(300, codes=6))
    binned = Binned.of(x, x, bins=16)
    whole = boost(binned, y[:, 0], stages=5).importance
    monkeypatch.setattr("analysis.representation.trees.binned.CHUNK", 2 * 300)
    pieces = Binned.of(x, x, bins=16)
    assert len(list(pieces.chunks(1))) == 3
    np.testing.assert_allclose(boost(pieces, y[:, 0], stages=5).importance, whole, atol=1e-12)


def test_factorvae_against_a_plain_loop():
    x, y = mixed(500)
    found = factorvae_score(x, y, train=4000, test=4000, seed=1)
    random = np.random.default_rng(0)
    spread = x.numpy().var(0, ddof=1)
    votes = np.zeros((2, y.shape[1], x.shape[1]))
    for part in range(2):
        for _ in range(1000):
            j = random.integers(y.shape[1])
            same = np.flatnonzero(y[:, j].numpy() == y[random.integers(len(y)), j].item())
            batch = x.numpy()[random.choice(same, 64)]
            votes[part, j, np.argmin(batch.var(0, ddof=1) / spread)] += 1
    slow = votes[1, votes[0].argmax(0), range(x.shape[1])].sum() / 1000
    assert found.score == pytest.approx(slow, abs=0.05)


@pytest.mark.parametrize("chunk", [8_000_000, 90])
def test_votes_from_sums_are_those_of_gathered_rows(monkeypatch, chunk):
    monkeypatch.setattr("analysis.representation.factorvae.CHUNK", chunk)
    monkeypatch.setattr("analysis.representation.factorvae.STRIP", 1000)
    x, y = mixed(300)
    nearly = x + 1e-7 * torch.randn(x.shape, generator=rng(3), dtype=x.dtype)
    # Far from zero, nearly equal, constant where the attribute is held, and equal twice.
    codes = torch.cat([x + 1000, nearly, y.double(), y.double(), x], 1)
    rows = torch.randint(300, (200, 16), generator=rng(1))
    rows[::2] = torch.randint(30, (100, 16), generator=rng(2))
    order = y[:, 0].argsort()
    rows[::4] = order[rows[::4] % 30]
    slow = codes[rows].var(1).argmin(1)
    assert torch.equal(_least_varying(codes, rows), slow)
    assert len(slow.unique()) > 5


def test_stylespace_protocol_keeps_what_varies_and_takes_the_extremes():
    x = torch.randn(1500, 6, generator=rng(), dtype=torch.float64)
    logits = torch.stack([4 * x[:, 0], x[:, 3] - 3, 2 * x[:, 1] - x[:, 4]], 1)
    found = stylespace_dci(x, logits, extreme=0.1, bins=16)
    assert found.left_out.tolist() == [False, True, False]
    assert found.importance[:, 1].eq(0).all()
    assert float(found.importance[0, 0]) > 0.9
    assert float(found.importance[[1, 4], 2].sum()) > 0.9
    assert found.informativeness > 0.9
    with pytest.raises(LatdirError, match=r"no attribute has more than 0\.05 of both signs"):
        stylespace_dci(x, logits[:, 1:2] - 9)


def test_values_are_cut_into_equal_counts_and_classes_are_shared():
    values = torch.randn(1000, generator=rng())
    assert torch.bincount(as_classes(values[:, None])[:, 0]).tolist() == [100] * 10
    assert as_classes(torch.tensor([[10**12], [-5], [10**12]]))[:, 0].tolist() == [1, 0, 1]
    x, y = mixed(20)
    split = split_rows(x, y + 5, held_out=(x[:4], y[:4] + 5))
    assert torch.equal(split.test_classes, split.classes[:4])
    with pytest.raises(LatdirError, match="cannot be tested on"):
        split_rows(x, y, held_out=(x[:4], y[:4].double()))
    with pytest.raises(LatdirError, match="do not fit"):
        split_rows(x, y[:5])


def test_half_samples_have_the_width_of_the_standard_error():
    values = torch.randn(400, generator=rng(), dtype=torch.float64)
    found = half_sample_scores(lambda v: {"mean": float(v.mean())}, values, draws=400)["mean"]
    expected = 2 * 1.96 * float(values.std()) / 20
    assert found.high - found.low == pytest.approx(expected, rel=0.15)
    assert found.low < found.value < found.high


def test_intervals_and_names():
    x, y = mixed(200)
    found = disentanglement_scores(x, y, metrics=["MIG", "SAP"], draws=5)
    assert list(found) == ["MIG", "SAP"]
    assert found["MIG"].low < found["MIG"].high
    with pytest.raises(LatdirError, match="no metric 'BetaVAE': there are MIG, SAP"):
        disentanglement_scores(x, y, metrics=["BetaVAE"])


def test_every_metric_falls_with_planted_entanglement():
    levels = torch.linspace(0, 1, 8).tolist()
    sweep = entanglement_sweep(levels, count=800, bins=12)
    assert list(sweep.scores) == list(METRICS)
    for name, found in sweep.scores.items():
        values = [score.value for score in found]
        assert max(b - a for a, b in itertools.pairwise(values)) < 0.05, name
        assert values[0] - values[-1] > 0.15, name


@pytest.mark.slow
def test_trees_fall_with_planted_entanglement_too_and_bins_cost_two_percent():
    found = []
    for level in (0.0, 0.3, 0.6, 1.0):
        x, y = entangled_world(4500, level=level)
        binned, exact = (dci(x, y, bins=b) for b in (255, "exact"))
        for name in ("disentanglement", "completeness", "informativeness"):
            assert getattr(binned, name) == pytest.approx(getattr(exact, name), abs=0.025), name
        found.append(exact.disentanglement)
    assert sorted(found, reverse=True) == found
