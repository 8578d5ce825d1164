"""Options of rendering: what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from directions import LatdirError, Rendering


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size 0 must be at least 1; leave it out"),
        ({"truncation": float("nan")}, "truncation nan must be finite"),
    ],
)
def test_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LatdirError, match=message):
        Rendering(**options)


def test_an_unknown_precision_is_refused() -> None:
    options = Rendering()
    # The type checker of the tests would refuse it before the class does.
    object.__setattr__(options, "precision", "float16")
    with pytest.raises(LatdirError, match="'float16' is unknown: there are float32, bfloat16"):
        options.__post_init__()
