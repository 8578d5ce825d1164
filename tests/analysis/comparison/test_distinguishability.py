"""RCA: perfect, useless and degenerate banks get the scores they must."""

from dataclasses import replace

import pytest
import torch

import analysis.comparison.distinguishability as module
from analysis import measure_distinguishability
from analysis.registry import find_measure
from directions import DirectionBank, Rendering
from directions.errors import LatdirError
from directions.paths.base import CurvedPath
from directions.planted.world import planted
from tests.analysis.measured import bank_of, true_bank

WORLD = planted(factors=4, dim=8)
QUICK = {"count": 256, "epochs": 10, "rendering": Rendering(progress=False)}


class Straight(CurvedPath):
    """A direction as a path."""

    kind = "straight"

    def __init__(self, direction, fingerprint=WORLD.fingerprint):
        self.name, self.space, self.fingerprint = direction.name, "z", fingerprint
        self.direction = direction

    def shift(self, codes, amount, *, unit="sigma"):
        return self.direction.shift(codes, amount, unit=unit)


def test_directions_that_look_different_are_told():
    found = measure_distinguishability(WORLD, true_bank(WORLD), **QUICK)
    assert found.accuracy > 0.9
    assert found.low < found.accuracy < found.high
    assert found.chance == 0.25
    torch.testing.assert_close(found.confusion.sum(1), torch.ones(4))
    assert float(found.confusion.diagonal().min()) > 0.8


def test_directions_that_look_alike_are_told_less():
    near = WORLD.truth[:1] + 0.03 * WORLD.truth
    bank = bank_of(WORLD, **dict(zip("abcd", near, strict=True)))
    found = measure_distinguishability(WORLD, bank, **QUICK)
    assert found.accuracy < 0.7 < found.random


def test_one_direction_under_four_names_is_told_at_chance():
    one = WORLD.truth[0]
    found = measure_distinguishability(WORLD, bank_of(WORLD, a=one, b=one, c=one, d=one), **QUICK)
    assert found.low < 0.3
    assert abs(found.accuracy - 0.25) < 0.12


def test_paths_are_measured_as_their_directions_and_runs_repeat():
    bank = true_bank(WORLD)
    first = measure_distinguishability(WORLD, bank, **{**QUICK, "count": 32})
    paths = {name: Straight(d) for name, d in bank.items()}
    state = torch.get_rng_state()
    again = measure_distinguishability(WORLD, paths, **{**QUICK, "count": 32})
    assert torch.equal(torch.get_rng_state(), state)
    assert again.as_dict() == first.as_dict()


def test_a_second_network_sees_half_as_many_codes(monkeypatch):
    """Identical pairs, and what it tells is kept beside what the first one tells."""
    seen, trained = [], module._trained

    def watched(pairs, index, *rest):
        seen.append((pairs, index))
        network = trained(pairs, index, *rest)
        # The other networks always name a direction that is not there.
        return network if len(seen) == 1 else lambda part: torch.full((len(part), 5), 0.0) + END

    END = torch.arange(5.0)
    monkeypatch.setattr(module, "_trained", watched)
    found = measure_distinguishability(WORLD, true_bank(WORLD), **{**QUICK, "count": 64})
    assert [len(pairs) for pairs, _ in seen] == [192, 96, 192, 96]  # 48 codes and 24, four times
    for whole, half in (seen[:2], seen[2:]):
        assert all(torch.equal(a[:96], b) for a, b in zip(whole, half, strict=True))
    assert found.half == found.random_half == found.random == 0 < found.accuracy


def test_the_report_says_what_it_is_not():
    found = measure_distinguishability(WORLD, true_bank(WORLD), count=16, epochs=1)
    measure = find_measure("rca")
    text = measure.part(found, {}).text
    assert "not what they mean" in text
    assert f"half as many codes it tells {found.half:.2f} and {found.random_half:.2f}" in text
    assert set(measure.columns(found)["told_apart"]) == set(WORLD.names)
    assert measure.as_dict(found)["confusion"] == found.confusion.tolist()


def test_bad_input_is_named():
    bank = true_bank(WORLD)
    with pytest.raises(LatdirError, match="1 directions cannot be told apart: give at least two"):
        measure_distinguishability(WORLD, DirectionBank.of(WORLD, bank.directions[:1]))
    with pytest.raises(LatdirError, match=r"amount -1\.0 must be positive"):
        measure_distinguishability(WORLD, bank, amount=-1.0)
    with pytest.raises(LatdirError, match="count is 4: give at least 16 codes"):
        measure_distinguishability(WORLD, bank, count=4)
    other = planted(factors=4, dim=8, seed=3)
    with pytest.raises(LatdirError, match="was made for another generator"):
        measure_distinguishability(other, bank)
    foreign = {name: Straight(d, "0" * 64) for name, d in bank.items()}
    with pytest.raises(LatdirError, match=r"path '.*' was made for another generator"):
        measure_distinguishability(WORLD, foreign)
    mixed = {
        d.name: replace(d, space="w" if i else "z", fingerprint=None)
        for i, d in enumerate(bank.directions)
    }
    with pytest.raises(LatdirError, match=r"several spaces|no space 'w'"):
        measure_distinguishability(WORLD, mixed)
