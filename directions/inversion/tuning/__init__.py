"""Tuning: a generator's weights changed a little, so that it makes a photograph that it could not.

`pivotal` tunes around a code that an inversion found; what it changes is kept as
`directions.generators.deltas.Deltas`, apart from the generator. Import `tune` from `directions`.
"""

from directions.generators.deltas import Deltas
from directions.inversion.tuning.pivotal import Pivotal, Tuning, tune

__all__ = ["Deltas", "Pivotal", "Tuning", "tune"]
