"""Progress bars: none where they are turned off, and none that overshoots its total."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import tqdm.auto

import analysis
from analysis import editing_accuracy, measure_effects
from directions import DirectionBank, Rendering, progress_bars
from directions.planted.clip import PlantedClip
from directions.planted.world import planted
from directions.scoring.scorer import Scorer
from discovery import (
    PCA,
    Boundary,
    ClipBoundary,
    ClipOptimize,
    GlobalBasis,
    Gradient,
    StyleSpace,
    sample,
)
from tests.analysis.measured import true_bank

WORLD = planted(factors=3, dim=8, names=("smile", "age", "yaw"))
JUDGE = WORLD.classifier()
LABELED = sample(WORLD, JUDGE, 60, seed=0, rendering=Rendering(progress=False))
CLIP = {"text": "a smile", "neutral": "nothing", "clip": PlantedClip(WORLD)}


class Bar:
    """Counts, and draws nothing."""

    made: list[Bar]

    def __init__(self, items: Iterable[Any] | None = None, **options: Any) -> None:
        self.items, self.n = items, options.get("initial", 0)
        self.total = options.get("total", len(items) if hasattr(items, "__len__") else None)
        self.options = options
        if not options.get("disable"):
            Bar.made.append(self)

    def __iter__(self) -> Iterator[Any]:
        for item in self.items or ():
            yield item
            self.update()

    def update(self, n: int = 1) -> None:
        self.n += n

    def close(self) -> None:
        pass

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    Bar.made = []
    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    return Bar.made


def bank() -> DirectionBank:
    return analysis.calibrate(
        WORLD, JUDGE, true_bank(WORLD), count=8, rendering=Rendering(progress=False)
    )


METHODS: dict[str, Callable[[bool], object]] = {
    "boundary": lambda p: Boundary(estimator="hinge", progress=p).discover(LABELED),
    "pca": lambda p: PCA(n_codes=50, n_directions=2, batch_size=20, progress=p).discover(WORLD),
    "jacobian": lambda p: GlobalBasis(n_codes=3, n_directions=2, progress=p).discover(WORLD),
    "gradient": lambda p: Gradient(n_codes=8, batch_size=4, progress=p).discover(
        WORLD, classifier=JUDGE
    ),
    "stylespace": lambda p: StyleSpace(
        n_codes=40, positives=10, n_directions=1, candidates=2, verify=2, progress=p
    ).discover(WORLD, classifier=JUDGE),
    "clip_boundary": lambda p: ClipBoundary(n_codes=100, progress=p).discover(WORLD, **CLIP),
    "clip_optimize": lambda p: ClipOptimize(n_codes=2, steps=3, progress=p).discover(WORLD, **CLIP),
}

MEASURES: dict[str, Callable[[Rendering], object]] = {
    "sample": lambda r: sample(WORLD, JUDGE, 50, seed=0, rendering=r),
    "scores": lambda r: Scorer(WORLD, JUDGE, rendering=r).score(WORLD.sample(50, seed=0)),
    "effects": lambda r: measure_effects(WORLD, JUDGE, true_bank(WORLD), count=20, rendering=r),
    "accuracy": lambda r: editing_accuracy(WORLD, JUDGE, bank(), count=20, rendering=r),
    "evaluation": lambda r: analysis.evaluate(
        true_bank(WORLD), WORLD, JUDGE, count=8, null=3, rendering=r
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_shows_bars_unless_told_not_to(name: str, bars: list[Bar]):
    METHODS[name](True)
    assert bars, "a loop of this method takes long in earnest"
    shown = list(bars)
    bars.clear()
    METHODS[name](False)
    assert not bars
    check(shown)


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_shows_bars_unless_told_not_to(name: str, bars: list[Bar]):
    MEASURES[name](Rendering(batch_size=16))
    assert bars
    shown = list(bars)
    bars.clear()
    MEASURES[name](Rendering(batch_size=16, progress=False))
    with progress_bars(False):
        MEASURES[name](Rendering(batch_size=16))
    assert not bars
    check(shown)


def check(bars: list[Bar]) -> None:
    """Every bar knows its total, and those that count to the end stop there."""
    for bar in bars:
        assert bar.total is not None, bar.options
        assert bar.n <= bar.total, bar.options
        assert bar.n == bar.total or bar.options.get("leave") is False, bar.options


def test_the_setting_is_neither_a_flag_nor_part_of_what_was_found():
    assert "progress" not in PCA(progress=False).config
    assert PCA(progress=False) == PCA()


def test_turning_off_holds_inside_turning_on(bars: list[Bar]):
    with progress_bars(False), progress_bars(True):
        METHODS["pca"](True)
    assert not bars
