"""Tables of a bank: plain text for a terminal, HTML for a notebook."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from directions.direction import Direction

__all__ = ["html", "text"]

COLUMNS = ("direction", "space", "method", "sigma", "one sigma changes", "evidence")
FIGURES = 3


def text(directions: Sequence[Direction], *, owner: str) -> str:
    """Directions as lines of aligned columns, under a heading.

    Args:
        directions: One a line.
        owner: Their owner, for the heading.

    Example:
        >>> import torch
        >>> from directions import Direction
        >>> up = Direction("up", torch.tensor([0.0, 1.0]), "z", evidence={"auc": 0.93})
        >>> print(text([up], owner="toy (000000000000…)"))
        1 direction of toy (000000000000…)
        direction  space  method  sigma  one sigma changes  evidence
        up         z      given   1      not calibrated     auc 0.93
    """
    rows = [COLUMNS, *(_row(d) for d in directions)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([_heading(directions, owner), *(line.rstrip() for line in lines)])


def html(directions: Sequence[Direction], *, owner: str) -> str:
    """The same as an HTML table that takes its colors from the page."""
    cell = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"

    def line(tag: str, row: tuple[str, ...]) -> str:
        cells = (f"<{tag} style='{cell}'>{escape(c)}</{tag}>" for c in row)
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(line("td", _row(d)) for d in directions)
    return (
        f"<div><p>{escape(_heading(directions, owner))}</p>"
        f"<table style='border-collapse:collapse'>"
        f"<thead>{line('th', COLUMNS)}</thead><tbody>{body}</tbody></table></div>"
    )


def _heading(directions: Sequence[Direction], owner: str) -> str:
    return f"{len(directions)} direction{'' if len(directions) == 1 else 's'} of {owner}"


def _row(direction: Direction) -> tuple[str, ...]:
    scale = direction.calibration
    answer = (
        f"{scale.attribute} {scale.per_sigma:+.{FIGURES}g} {scale.unit}".rstrip()
        if scale
        else "not calibrated"
    )
    figures = [
        f"{name} {value:.{FIGURES}g}"
        for name, value in direction.evidence.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    ]
    conditioned = direction.evidence.get("conditioned")
    if isinstance(conditioned, Mapping):
        figures.insert(0, "given " + ", ".join(map(str, conditioned.get("on", ()))))
    space = direction.space
    if direction.layers is not None:
        space += f" layers {_ranges(direction.layers)}"
    return (
        direction.name,
        space,
        direction.method,
        f"{direction.sigma:.{FIGURES}g}",
        answer,
        ", ".join(figures[:FIGURES]),
    )


def _ranges(layers: tuple[int, ...]) -> str:
    """Layer numbers with runs joined: (0, 1, 2, 5) as '0–2, 5'."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in runs)
