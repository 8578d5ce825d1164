"""Settings of every method, solver and start: converted to their kinds, or refused."""

from __future__ import annotations

import pkgutil
from dataclasses import MISSING, fields

import numpy as np
import pytest

import discovery
from directions import LatdirError
from directions.arguments import Settings
from directions.inversion import RECIPES, SOLVERS, STARTS
from tests.unchecked import unchecked

PLACES = {
    **{f"method {name}": entry.location for name, entry in discovery.METHODS.items()},
    **{f"solver {name}": entry.location for name, entry in (SOLVERS | RECIPES).items()},
    **{f"start {name}": f"{kind.__module__}:{kind.__name__}" for name, kind in STARTS.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_settings_are_converted_or_refused(name):
    kind = pkgutil.resolve_name(PLACES[name])
    assert issubclass(kind, Settings)
    with unchecked():
        check(kind)


def check(kind):
    for field in fields(kind):
        value = field.default
        if value is MISSING or not isinstance(value, int | float):
            continue
        numpy = np.array([value])[0]  # a bool_, int64 or float64
        made = getattr(kind(**{field.name: numpy}), field.name)
        assert (type(made), made) == (type(value), value), field.name
        for wrong in ("words", 1 + 2j, object(), [value]):
            with pytest.raises(LatdirError, match=f"^{field.name} is "):
                kind(**{field.name: wrong})
