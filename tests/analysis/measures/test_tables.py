"""Figures as text."""

import pytest

from analysis.measures.tables import flattened, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.00012345, "−0.000123"),
        (12.345, "12.3"),
        (999.6, "1000"),
        (123456.7, "123,457"),
        (float("inf"), "–"),
        (100.0, "100"),
    ],
)
def test_numbers_for_people(value, text):
    assert number(value) == text


def test_nested_settings_are_flattened_and_long_lists_cut():
    pairs = dict(flattened({"a": {"b": None, "c": True}, "d": list(range(30))}))
    assert pairs["a.b"] == "None"
    assert pairs["a.c"] == "True"
    assert pairs["d"].endswith(", 11, … (30 in all)")
