"""Tables of tuning and of conditional encoders, from their benchmarks' results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ages", "tuned_faces", "tuning"]

Table = tuple[Sequence[str], list[tuple[str, ...]]]
# The ways of `tuning.py`, as they are called in the guide.
WAYS = {
    "original": "the paper's, pixels only",
    "local, free": "`LocalPivotal`, no locality, rates half as large again",
    "local": "`LocalPivotal` (the default)",
    "low rank": "`Pivotal`, rank 16, no locality",
    "low rank, locality": "`Pivotal`, rank 16",
}


def tuning(found: Mapping[str, Any]) -> Table:
    """The photograph tuned in each way."""
    rows = [
        (
            name,
            f"{one['seconds']:.1f}",
            f"{one['others_median']:.1f}, {one['others_least']:.1f} dB",
            f"{one['megabytes']:.2f} MB",
            f"{one['smiling']:+.1f}",
        )
        for way, name in WAYS.items()
        for one in [found["median"]["photograph"][way]]
    ]
    heads = ("way", "seconds", "other images, median and least", "size")
    return (*heads, "log odds of smiling, 2 sd over −2"), rows


def tuned_faces(found: Mapping[str, Any]) -> Table:
    """Each photograph of clear license, tuned."""
    rows = [
        (
            name,
            f"{one['pivot_psnr']:.1f}",
            f"{one['psnr']:.1f}",
            f"{one['others_median']:.1f}, {one['others_least']:.1f} dB",
            f"{one['smiling']:+.1f}",
            f"{one['steps']}",
            f"{one['cpu_seconds']:.1f}",
        )
        for name, one in found["faces"].items()
        if "sha256" in one
    ]
    heads = ("photograph", "pivot, dB", "tuned, dB", "other images, median and least")
    return (*heads, "log odds of smiling, 3 sd over −3", "steps", "CPU seconds"), rows


def ages(found: Mapping[str, Any]) -> Table:
    """Target ages by the encoder and by a boundary, as two judges see them."""
    rows = []
    for name, key in (("`sam`", "sam"), ("boundary", "direction")):
        one = found["sam"][key]
        seen = (one[judge] for judge in ("faces", "mobile-faces"))
        cells = [f"{judge['slope']:.2f}, {judge['error']:.1f} years" for judge in seen]
        kept = ", ".join(f"{value:.2f}" for value in one["identity_by_age"].values())
        rows.append((name, *cells, kept))
    heads = ("slope and error, its own judge", "slope and error, `mobile-faces`")
    return ("codes by", *heads, "identity at 20, 30, 40, 50, 60"), rows
