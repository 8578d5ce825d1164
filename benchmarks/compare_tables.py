"""Tables of `compare.py`: for the terminal, and in Markdown for the documentation.

`belief_tables.py` writes those of the stored comparisons into `docs/methods/comparison.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from analysis.comparison import Comparison, Cost, Metric, Row
from analysis.intervals.mean import Estimate

REFERENCE = "ridge"
SHARES: tuple[Metric, ...] = ("drift", "judged_drift", "leakage")


def show(comparison: Comparison) -> None:
    """Every row, on the terminal."""
    table = Table(title=f"{comparison.count} held-out codes, {comparison.change:g} SD of effect")
    columns = ("attribute", "method", "sigmas", "effect", "drift", "judged drift", "leakage",
               "identity")  # fmt: skip
    for column in columns:
        table.add_column(column)
    for attribute in comparison.attributes:
        for method in comparison.methods:
            row = comparison.row(method, attribute)
            if row.direction is not None:
                cells = (row.amount, row.effect, row.drift, row.judged_drift, row.leakage)
                table.add_row(attribute, method, *map(_shown, (*cells, row.identity)))
        table.add_section()
    Console(width=110).print(table)


def markdown(found: Mapping[str, Any]) -> dict[str, str]:
    """Tables of a stored comparison: a summary, names found without labels, drift, judged drift."""
    comparison = stored(found)
    tables = {
        "summary": _summary(comparison),
        "drift": _matrix(comparison, "drift"),
        "judged": _matrix(comparison, "judged_drift"),
        "names": _names(comparison, found["naming"]),
    }
    return {name: "\n".join(lines) for name, lines in tables.items()}


def stored(found: Mapping[str, Any]) -> Comparison:
    """The comparison that `comparison.json` keeps, without figures of single codes."""
    same = ("change", "count", "seed", "generator", "classifier", "level", "judge",
            "identity_baseline")  # fmt: skip
    return Comparison(
        rows=tuple(Row(**_with_ends(row)) for row in found["rows"]),
        costs={method: Cost(**cost) for method, cost in found["costs"].items()},
        per_code={},
        **{name: found[name] for name in same},
    )


def _with_ends(record: Mapping[str, Any]) -> dict[str, Any]:
    """A stored row's fields, whose intervals have their ends beside them."""
    figures = {k: v for k, v in record.items() if not k.endswith(("_low", "_high"))}
    for name in figures:
        if f"{name}_low" in record and record[name] is not None:
            figures[name] = Estimate(*(record[f"{name}{end}"] for end in ("", "_low", "_high")))
    return figures


def with_directions(comparison: Comparison) -> Comparison:
    """The same without methods that have no direction of any attribute."""
    kept = [
        m for m in comparison.methods if any(r.direction for r in comparison.rows if r.method == m)
    ]
    return replace(
        comparison,
        rows=tuple(r for r in comparison.rows if r.method in kept),
        costs={m: comparison.costs[m] for m in kept},
    )


def _summary(comparison: Comparison) -> list[str]:
    """Methods beside the reference, on the attributes that both change by the common change."""
    titles = ("method", "seconds", "attributes", "drift", "judged drift", "leakage",
              "identity kept, minus")  # fmt: skip
    lines = [_row([*titles[:-1], f"{titles[-1]} {REFERENCE}'s"]), "|---|" + "---:|" * 6]
    for method in comparison.methods:
        shares = [ratio(comparison, method, metric) for metric in SHARES]
        cells = ["–" if share is None else f"{share:.2f}×" for share in shares]
        pairs = _pairs(comparison, method, "identity")
        kept = sum(own - other for own, other in pairs) / len(pairs) if pairs else None
        seconds = f"{comparison.costs[method].seconds or 0:.1f}"
        identity = "–" if kept is None else f"{kept:+.2f}"
        reach = str(len(reached(comparison, method)))
        lines.append(_row([method, seconds, reach, *cells, identity]))
    return lines


def reached(comparison: Comparison, method: str) -> list[str]:
    """Attributes that a method changes by the common change."""
    return [a for a in comparison.attributes if comparison.row(method, a).amount is not None]


def ratio(comparison: Comparison, method: str, metric: Metric) -> float | None:
    """Sum of a figure over the reference's, on the attributes that both reach."""
    pairs = _pairs(comparison, method, metric)
    return sum(own for own, _ in pairs) / sum(other for _, other in pairs) if pairs else None


def _pairs(comparison: Comparison, method: str, metric: Metric) -> list[tuple[float, float]]:
    if REFERENCE not in comparison.methods:
        return []
    both = (
        (comparison.row(method, a).figure(metric), comparison.row(REFERENCE, a).figure(metric))
        for a in reached(comparison, method)
    )
    return [(own.mean, other.mean) for own, other in both if own and other]


def _names(comparison: Comparison, naming: Mapping[str, Any]) -> list[str]:
    """The t of the strongest direction of each name."""

    def cells(method: str) -> list[str]:
        best: dict[str, float] = {}
        for entry in naming[method]["directions"]:
            if entry["attribute"]:
                best[entry["attribute"]] = max(best.get(entry["attribute"], 0.0), entry["t"])
        return [f"{best[a]:.1f}" if a in best else "" for a in comparison.attributes]

    return _grid(comparison, list(naming), cells)


def _matrix(comparison: Comparison, metric: Metric) -> list[str]:
    """A figure by method and attribute."""

    def cells(method: str) -> list[str]:
        rows = [comparison.row(method, a) for a in comparison.attributes]
        return ["" if r.direction is None else _shown(r.figure(metric)) for r in rows]

    return _grid(comparison, [m for m in comparison.methods if any(cells(m))], cells)


def _grid(
    comparison: Comparison, methods: list[str], cells: Callable[[str], list[str]]
) -> list[str]:
    attributes = comparison.attributes
    lines = [_row(["method", *attributes]), "|---|" + "---:|" * len(attributes)]
    return lines + [_row([method, *cells(method)]) for method in methods]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _shown(figure: float | Estimate | None) -> str:
    if figure is None:
        return "–"
    return f"{figure.mean if isinstance(figure, Estimate) else figure:.2f}"
