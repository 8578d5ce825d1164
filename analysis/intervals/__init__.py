"""Confidence intervals: of means over codes, by bootstrap, and by half-samples over rows.

Read `mean` first. Import from here.
"""

from analysis.intervals.bootstrap import resamples
from analysis.intervals.delta import delta_method, pair_influence, std_influence
from analysis.intervals.half_samples import Score, half_sample_scores
from analysis.intervals.mean import Estimate, Interval, estimate, mean_interval

__all__ = [
    "Estimate", "Interval", "Score", "delta_method", "estimate", "half_sample_scores",
    "mean_interval", "pair_influence", "resamples", "std_influence",
]  # fmt: skip
