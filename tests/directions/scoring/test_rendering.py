"""Options of rendering: what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from directions import LatdirError, Rendering


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size 0 must be at least 1; leave it out"),
        ({"precision": "float16"}, "'float16' is unknown: there are float32, bfloat16"),
        ({"truncation": float("nan")}, "truncation nan must be finite"),
    ],
)
def test_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LatdirError, match=message):
        Rendering(**options)
