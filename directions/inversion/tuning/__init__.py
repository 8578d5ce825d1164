"""Tuning: a generator's weights changed a little, so that it makes what it could not.

Read `tuned` first, then `base`: what a way to tune is. `local` tunes around codes that an
inversion found, `pivotal` does as the paper; `descent` is their loop. `progressive` moves codes
and weights together, from the first layers on; `rewriting` changes what one layer makes of some
places, in all images. What they change is kept as `directions.generators.deltas.Deltas`, apart
from the generator. Import `tune` and `rewrite` from `directions`.
"""

from directions.generators.deltas import Deltas
from directions.inversion.tuning.base import Tuner
from directions.inversion.tuning.local import LocalPivotal
from directions.inversion.tuning.pivotal import Pivotal
from directions.inversion.tuning.progressive import Progressive, TuningStage
from directions.inversion.tuning.rewriting import Rewriter, Rewriting, rewrite
from directions.inversion.tuning.tuned import Tuning, tune

__all__ = [
    "Deltas",
    "LocalPivotal",
    "Pivotal",
    "Progressive",
    "Rewriter",
    "Rewriting",
    "TuningStage",
    "Tuner",
    "Tuning",
    "rewrite",
    "tune",
]
