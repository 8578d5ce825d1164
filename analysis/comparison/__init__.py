"""Comparison of methods at equal effect, with paired intervals, and of labelers.

Read `compare` first; `result` has its return types; `agreement` sets two labelers side by side.
Import from here.
"""

from analysis.comparison.agreement import Agreement, Opinions, judge_agreement
from analysis.comparison.compare import EqualEffect, compare_methods
from analysis.comparison.result import Comparison, Cost, Metric, Row

__all__ = [
    "Agreement", "Comparison", "Cost", "EqualEffect", "Metric", "Opinions", "Row",
    "compare_methods", "judge_agreement",
]  # fmt: skip
