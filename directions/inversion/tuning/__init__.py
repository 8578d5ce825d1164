"""Tuning: a generator's weights changed a little, so that it makes what it could not.

`pivotal` tunes around codes that an inversion found; `rewriting` changes what one layer makes of
some places, in all images. What they change is kept as `directions.generators.deltas.Deltas`,
apart from the generator. Import `tune` and `rewrite` from `directions`.
"""

from directions.generators.deltas import Deltas
from directions.inversion.tuning.pivotal import Pivotal, Tuning, tune
from directions.inversion.tuning.rewriting import Rewriter, Rewriting, rewrite

__all__ = ["Deltas", "Pivotal", "Rewriter", "Rewriting", "Tuning", "rewrite", "tune"]
