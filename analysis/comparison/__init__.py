"""Comparison of methods at equal effect, with paired intervals.

Read `compare` first; `result` has its return types. Import from here.
"""

from analysis.comparison.compare import compare_methods
from analysis.comparison.result import Comparison, Cost, Difference, Metric, Row

__all__ = [
    "Comparison",
    "Cost",
    "Difference",
    "Metric",
    "Row",
    "compare_methods",
]
