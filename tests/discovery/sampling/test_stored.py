"""Samples of a folder: no rows held, the same directions."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch

from directions import LatdirError
from directions.classifiers.base import Attribute
from directions.space import Prior
from discovery import Boundary, ConditionalMean
from discovery.estimators.chunks import InMemory, levels
from discovery.sampling.samples import Samples
from discovery.sampling.shard_format import ROWS
from discovery.supervised.boundary import Estimator
from tests.discovery.sampling.test_sampler import run

ROOT = Path(__file__).parents[3]


def made(n: int = 3000, d: int = 12, *, seed: int = 0, prior: bool = True) -> Samples:
    g = torch.Generator().manual_seed(seed)
    codes = torch.randn(n, 3, d // 3, generator=g) * torch.linspace(0.2, 2, d).reshape(3, -1) + 1
    truth = torch.randn(d, 2, generator=g)
    scores = codes.flatten(1) @ truth + 2 * torch.randn(n, 2, generator=g)
    known = Prior.fit(codes) if prior else None
    return Samples(codes, scores, (Attribute("a"), Attribute("b")), "w+", "toy", "0" * 64, "me",
                   "0" * 64, seed=0, prior=known)  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Samples, Samples]:
    samples = made()
    return samples, Samples.open(samples.save(tmp_path_factory.mktemp("samples") / "all"))


def test_rows_stay_in_the_folder(both: tuple[Samples, Samples]) -> None:
    inside, stored = both
    assert not {"codes", "scores"} & set(vars(stored))
    assert len(stored) == 3000
    assert stored.shape == (3, 4)
    assert torch.equal(stored.codes, inside.codes)
    assert torch.equal(stored.scores, inside.scores)
    assert torch.equal(stored.column("b"), inside.column("b"))
    assert not {"codes", "scores"} & set(vars(stored))
    chosen = torch.tensor([2999, 5, 5, 1024])
    assert torch.equal(stored.rows(chosen).codes, inside.codes[chosen])
    assert repr(stored) == repr(inside)
    seen = torch.cat([codes for _, codes in stored.chunks()])
    assert torch.equal(seen, inside.codes.flatten(1))
    assert torch.equal(stored.chunks().tensor(), seen)
    with pytest.raises(AttributeError, match="no attribute 'labels'"):
        stored.labels  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("estimator", get_args(Estimator))
@pytest.mark.parametrize("ambiguous", [0.0, 0.1])
def test_boundaries_are_those_of_memory(both, estimator: Estimator, ambiguous: float) -> None:
    inside, stored = both
    method = Boundary(estimator=estimator, ambiguous=ambiguous, bootstrap=20)
    here, there = method.discover(inside, seed=3), method.discover(stored, seed=3)
    gap = (here.matrix() - there.matrix()).abs().max()
    # The margins are optimized to tolerances of their own; a kink is rounded besides.
    limit = {"logistic": 1e-4, "squared_hinge": 1e-4, "hinge": 2e-2}.get(estimator, 1e-6)
    assert gap < limit
    for name in ("a", "b"):
        mine, theirs = here[name].evidence, there[name].evidence
        close = 0.02 if estimator == "hinge" else 2e-3
        assert theirs["auc"] == pytest.approx(mine["auc"], abs=close)
        assert theirs["cone_degrees"] == pytest.approx(mine["cone_degrees"], rel=0.1)


def test_conditional_means_are_those_of_memory(both: tuple[Samples, Samples]) -> None:
    here, there = (ConditionalMean().discover(samples, seed=3) for samples in both)
    torch.testing.assert_close(here.matrix(), there.matrix(), atol=1e-6, rtol=0)
    for mine, theirs in zip(here.directions, there.directions, strict=True):
        assert mine.evidence == pytest.approx(theirs.evidence)


def test_what_a_run_returns_holds_no_rows_and_outlives_its_growth(tmp_path: Path) -> None:
    first = run(1300, out=tmp_path)
    assert "codes" not in vars(first)
    before = first.codes
    run(2000, out=tmp_path)  # the second shard is replaced by a longer one
    assert torch.equal(first.codes, before)
    assert torch.equal(first.column("factor_1"), run(1300).column("factor_1"))


def test_a_prior_is_estimated_shard_by_shard(tmp_path: Path) -> None:
    samples = made(prior=False)
    stored = Samples.open(samples.save(tmp_path))
    torch.testing.assert_close(stored.population.mean, samples.population.mean)
    torch.testing.assert_close(stored.population.covariance, samples.population.covariance)


def test_a_shard_is_verified_when_it_is_first_read(tmp_path: Path) -> None:
    made().save(tmp_path)
    stored = Samples.open(tmp_path)
    shard = tmp_path / f"samples-{ROWS:08d}-{2 * ROWS - 1:08d}.parquet"
    data = shard.read_bytes()
    shard.write_bytes(data[:900] + bytes([data[900] ^ 1]) + data[901:])
    with pytest.raises(LatdirError, match="is corrupt or truncated"):
        Boundary(bootstrap=0).discover(stored)
    (tmp_path / "_manifest.json").unlink()
    with pytest.raises(LatdirError, match="is not a folder of samples"):
        Samples.open(tmp_path)


def test_codes_that_no_estimator_can_use_are_refused(tmp_path: Path) -> None:
    samples = made()
    equal = replace(samples, codes=torch.ones(3000, 3, 4))
    stored = Samples.open(equal.save(tmp_path / "equal"))
    with pytest.raises(LatdirError, match=r"all \d+ codes are equal"):
        Boundary().discover(stored)


def test_levels_are_those_of_all_rows_at_once() -> None:
    g = torch.Generator().manual_seed(0)
    codes, weights, heights = (torch.randn(*s, generator=g) for s in ((50, 4), (3, 4), (3,)))
    rows = torch.rand(50, generator=g) > 0.5
    found = levels(InMemory(codes), weights, heights, rows)
    torch.testing.assert_close(found, (codes @ weights.T + heights).T[:, rows])


BIG = """
import resource, sys, torch
from discovery import Boundary, Samples
samples = Samples.open(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
Boundary(estimator=sys.argv[2], bootstrap=20).discover(samples)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["ridge", "lda", "mean_difference", "logistic"])
def test_memory_does_not_grow_with_the_codes(estimator: str, tmp_path: Path) -> None:
    made(200_000, 300).save(tmp_path)  # 240 MB of codes
    taken = subprocess.run(
        [sys.executable, "-c", BIG, str(tmp_path), estimator],
        capture_output=True, text=True, check=True, cwd=ROOT,
    ).stdout  # fmt: skip
    assert float(taken) < 150
