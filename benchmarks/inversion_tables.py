"""Tables of tuning, hypernetworks and conditional encoders, from their benchmarks' results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["INVERSION_TABLES"]

KEPT = ("yaw", "pitch", "smiling", "mouth_open")
# The ways of `details.py`, as they are called in the guide, and kinds of images.
KEEPERS = {
    "encoder": "encoder",
    "consultation": "consultation",
    "feature editor": "feature editor",
    "features": "F/W+, 50 steps",
    "hypernetwork": "hypernetwork, two passes",
}
EDITS = ("smiling", "age", "yaw")
SAID = {"mixes in w+": "two samples mixed by layer"}
Table = tuple[Sequence[str], list[tuple[str, ...]]]
# The ways of `tuning.py`, as they are called in the guide.
WAYS = {
    "original": "the paper's, pixels only",
    "original, locality": "the same with the paper's locality",
    "local, free": "`LocalPivotal`, no locality, rates half as large again",
    "local, light": "the same, `locality=1`, 32 probes, `others=None`",
    "local": "`LocalPivotal` (the default)",
    "low rank": "`Pivotal`, rank 16, no locality",
    "low rank, locality": "`Pivotal`, rank 16",
}
# The ways of `conditional.py nitzan`, as they are called in the guide.
SWAPS = {
    "nitzan": "`nitzan`",
    "one look": "its first look alone",
    "linear": "the mixture it began from",
    "directions": "boundaries of pose and expression",
    "attribute code": "the code of the first image",
    "identity code": "the code of the second",
    "optimized": "{optimized_steps} steps of Adam, {optimized_pairs} pairs",
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


def identities(found: Mapping[str, Any]) -> Table:
    """Identity, pose and expression of faces made of two, by each way."""
    rows = []
    for way, name in SWAPS.items():
        one = found["nitzan"][way]
        seen = (
            ", ".join(f"{one[f'{kept}_{judge}']:.2f}" for kept in KEPT)
            for judge in ("faces", "mobile-faces")
        )
        both = (f"{one[f'identity_to_{image}_image']:.2f}" for image in ("identity", "attribute"))
        mirrored = f"{one['mirrored_identity_to_identity_image']:.2f}"
        off = f"{one['landmarks_faces']:.1f}"
        rows.append((name.format(**found["nitzan"]), ", ".join(both), mirrored, *seen, off))
    heads = ("way", "identity to the one asked for, to the other", "the first, mirrored")
    return (*heads, "yaw, pitch, smiling, mouth", "by `mobile-faces`", "landmarks, pixels"), rows


def hypernetworks(found: Mapping[str, Any]) -> Table:
    """PSNR and identity of each kind of images by each network and number of passes."""
    ways = {
        "encoder": "encoder", "one step": "gradient, 1", "two": "gradient, 2",
        "three": "gradient, 3", "`hyperstyle`, one pass": "hyperstyle, 1",
        "`hyperinverter`": "hyperinverter, 1",
    }  # fmt: skip
    said = {"mixes in w+": "two samples mixed by layer, in w+"}
    rows = [
        (
            said.get(kind, kind),
            *(f"{one[way]['psnr']:.1f}, {one[way]['identity']:.2f}" for way in ways.values()),
        )
        for kind, one in found["kinds"].items()
    ]
    return ("images", *ways), rows


def details(found: Mapping[str, Any]) -> Table:
    """PSNR and identity of each kind of images by each way to keep details."""
    return _kept(found, lambda one: f"{one['psnr']:.1f}, {one['identity']:.2f}")


def edited_details(found: Mapping[str, Any]) -> Table:
    """The same after edits, with the mean share of the effects that is kept."""

    def cell(one: Mapping[str, Any]) -> str:
        kept = sum(one[f"{edit}_kept"] for edit in EDITS) / len(EDITS)
        known = f"{one['edited_psnr']:.1f}, " if "edited_psnr" in one else ""
        return f"{known}{one['edited_identity']:.2f}, {kept:.2f}"

    return _kept(found, cell)


def _kept(found: Mapping[str, Any], cell: Callable[[Mapping[str, Any]], str]) -> Table:
    rows = [
        (SAID.get(kind, kind), *(cell(one[way]) for way in KEEPERS))
        for kind, one in found["kinds"].items()
    ]
    return ("images", *KEEPERS.values()), rows


# Of each table its results, and what makes it of them.
INVERSION_TABLES: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Table]]] = {
    "tuning": ("tuning", tuning),
    "tuned-faces": ("tuning-faces", tuned_faces),
    "hypernetworks": ("hypernetwork-styleface64", hypernetworks),
    "details": ("details-styleface64", details),
    "edited-details": ("details-styleface64", edited_details),
    "ages": ("conditional-styleface64", ages),
    "identities": ("conditional-styleface64", identities),
}
