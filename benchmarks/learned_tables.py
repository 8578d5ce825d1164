"""Tables of `docs/methods/learned.md`, from the results of `learned.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

EDITED = ("smiling", "yaw", "male", "age")
STRAIGHT = ("boundary", "conditioned", "conditional_mean")
METHODS = (*STRAIGHT, "conditional_flow")
GOALS = (
    ("leakage to the held, over conditioned boundaries'", "≤ 0.85", 0.85),
    ("leakage to all others, over conditioned boundaries'", "≤ 0.85", 0.85),
    ("worst attribute's leakage to the held, over the best straight direction's", "≤ 1.1", 1.1),
    ("worst attribute's leakage to all others, over the best straight direction's", "≤ 1.1", 1.1),
    ("identity lost beyond conditioned boundaries, mean", "≤ 0.01", 0.01),
    ("identity lost beyond conditioned boundaries, worst attribute", "≤ 0.01", 0.01),
    ("seconds of training", "≤ 30", 30.0),
    ("round trip, largest error of a code", "≤ 1e-5", 1e-5),
    ("2 sigma there and back, largest error", "≤ 1e-4", 1e-4),
    ("gap of training to held-out codes, nats a dimension", "≤ 0.05", 0.05),
    ("difference of two orders of edits, over boundaries'", "≤ 0.5", 0.5),
)

Found = Mapping[str, Any]
Rows = tuple[Sequence[str], list[Sequence[str]]]


def leakage(found: Found) -> Rows:
    """Learned paths and straight directions at equal effect."""
    rows: list[Sequence[str]] = []
    for a in EDITED:
        for method in METHODS:
            one = found[method][a]
            parts = ("{:.3f} [{:.3f}, {:.3f}]".format(*one[k]) for k in ("held", "all"))
            amount = f"{found[method]['seconds']:.1f}", f"{one['amount']:.2f}"
            rows.append(
                (a, method, *amount, *parts, f"{one['absolute']:.3f}", f"{one['identity']:.4f}")
            )
    for method in METHODS:
        means = (_mean(found[method], key) for key in ("held", "all", "absolute", "identity"))
        rows.append(("mean of 4", method, "", "", *(f"{mean:.3f}" for mean in means)))
    return ("attribute", "method", "seconds", "amount", "held", "all", "AD", "identity"), rows


def leakage_goals(found: Sequence[Found], orders: Found) -> Rows:
    """What conditional flows were to reach, and whether they do, on each generator."""
    columns = [_figures(one, orders) for one in found]
    rows: list[Sequence[str]] = [
        (said, goal, *(_held(column[i], limit) for column in columns))
        for i, (said, goal, limit) in enumerate(GOALS)
    ]
    places = (f"{one['settings']['space']} of {one['settings']['generator']}" for one in found)
    return ("figure", "goal", *places), rows


def rca(found: Found) -> Rows:
    """Accuracies of fresh networks by the number of codes that they have seen."""
    rows: list[Sequence[str]] = []
    for codes in (1024, 4096):
        known = {
            name: found.get(f"digiface64/{name}/{codes}") for name in ("voynov_babenko", "sefa")
        }
        first = known["voynov_babenko"] or {}
        seen = codes * 3 // 4
        halves = [one and one["half"] for one in known.values()] + [first.get("random_half")]
        wholes = [one and one["accuracy"] for one in known.values()] + [first.get("random")]
        for count, values in ((seen // 2, halves), (seen, wholes)):
            rows.append((f"{count:,}", *("" if v is None else f"{v:.3f}" for v in values)))
    return ("codes seen", "Voynov & Babenko", "SeFa", "random"), rows


def training(found: Found) -> Rows:
    """A training from its first step to its last, and what was to be reached."""
    run, told = (found.get(f"digiface64/{key}", {}) for key in ("training", "voynov_babenko/4096"))
    above = told["accuracy"] - told["random"] if told else None
    said = (
        ("seconds of 30 directions in one run", "≤ 300", run.get("seconds"), "≤"),
        ("of which processor time of one thread", "", run.get("processor seconds"), ""),
        ("accuracy of its own network", "", run.get("accuracy of its own network"), ""),
        ("accuracy of a fresh network (RCA)", "≥ 0.90", told.get("accuracy"), "≥"),
        ("above random directions", "≥ 0.15", above, "≥"),
    )
    rows: list[Sequence[str]] = []
    for name, goal, figure, kind in said:
        limit = float(goal.split()[1]) if goal else 0.0
        holds = figure is not None and (figure <= limit if kind == "≤" else figure >= limit)
        shown = "not measured" if figure is None else f"{figure:.3f}".removesuffix(".000")
        verdict = f", {'holds' if holds else '**does not hold**'}" if goal and figure else ""
        rows.append((name, goal, shown + verdict))
    return ("figure", "goal", "digiface64, z"), rows


def _figures(found: Found, orders: Found) -> list[float | None]:
    """The figures in the order of the goals."""
    flow, conditioned, exact = (
        found["conditional_flow"], found["conditioned"], found["conditional_flow"]["exactness"]
    )  # fmt: skip
    lost = [conditioned[a]["identity"] - flow[a]["identity"] for a in EDITED]
    edits = orders.get("{generator}-{space}".format(**found["settings"]))
    return [
        *(_mean(flow, k) / _mean(conditioned, k) for k in ("held", "all")),
        *(
            max(flow[a][k][0] / min(found[m][a][k][0] for m in STRAIGHT) for a in EDITED)
            for k in ("held", "all")
        ),
        sum(lost) / len(lost),
        max(lost),
        flow["seconds"],
        exact["round_trip"],
        exact["there_and_back"],
        exact["validation_nats"] - exact["train_nats"],
        edits and edits["conditional_flow"]["disagreement"] / edits["boundary"]["disagreement"],
    ]


def _held(figure: float | None, limit: float) -> str:
    if figure is None:
        return "not measured"
    said = f"{figure:.1e}" if limit < 1e-3 else f"{figure:.3f}" if limit < 10 else f"{figure:.1f}"
    return f"{said}, {'holds' if figure <= limit else '**does not hold**'}"


def _mean(entry: Found, key: str) -> float:
    values = (entry[a][key] for a in EDITED)
    return sum(v[0] if isinstance(v, list) else v for v in values) / len(EDITED)
