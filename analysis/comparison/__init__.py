"""Comparison of methods at equal effect, with paired intervals.

Read `compare` first; `result` has its return types. Import from here.
"""

from analysis.comparison.compare import EqualEffect, compare_methods
from analysis.comparison.result import Comparison, Cost, Metric, Row

__all__ = [
    "Comparison", "Cost", "EqualEffect", "Metric", "Row", "compare_methods",
]  # fmt: skip
