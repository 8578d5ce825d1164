"""Confidence intervals: bootstrap over codes, half-samples over rows.

Read `bootstrap` first. Import from here.
"""

from analysis.intervals.bootstrap import (
    Estimate,
    Interval,
    estimate,
    mean_interval,
    resamples,
)
from analysis.intervals.half_samples import Score, half_sample_scores

__all__ = [
    "Estimate", "Interval", "Score", "estimate", "half_sample_scores", "mean_interval", "resamples",
]  # fmt: skip
