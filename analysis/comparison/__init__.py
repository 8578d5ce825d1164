"""Comparison of methods at equal effect, with paired intervals, and of labelers.

Read `compare` first; `result` has its return types; `agreement` sets two labelers side by side,
`distinguishability` says how well directions can be told apart.
Import from here.
"""

from analysis.comparison.agreement import Agreement, Opinions, judge_agreement
from analysis.comparison.compare import EqualEffect, compare_methods
from analysis.comparison.distinguishability import (
    Distinguishability,
    measure_distinguishability,
)
from analysis.comparison.result import Comparison, Cost, Metric, Row

__all__ = [
    "Agreement", "Comparison", "Cost", "Distinguishability", "EqualEffect", "Metric", "Opinions",
    "Row", "compare_methods", "judge_agreement", "measure_distinguishability",
]  # fmt: skip
