"""A short form of `benchmarks/calibration.py`."""

import runpy
from pathlib import Path

import pytest

CALIBRATION = Path(__file__).parents[3] / "benchmarks" / "calibration.py"


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_intervals_cover_and_equal_methods_do_not_differ(noise):
    shares = runpy.run_path(str(CALIBRATION))["coverage"](noise, 64, 60)
    for covered, alarms in shares.values():
        # Four attributes of two methods, and four differences, of 60 sets of codes.
        assert 0.9 < covered < 0.995
        assert alarms < 0.1


@pytest.mark.slow
def test_random_directions_of_an_anisotropic_space_get_no_names():
    assert runpy.run_path(str(CALIBRATION))["false_names"](10.0, 60) <= 0.05
