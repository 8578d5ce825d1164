"""Tables of the documentation, from the results of the benchmarks.

    python -m benchmarks.belief_tables

writes them between `<!-- figures: … -->` and `<!-- end -->`; a test compares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.compare_tables import markdown
from benchmarks.inversion_tables import INVERSION_TABLES
from benchmarks.learned_tables import leakage, leakage_goals, rca, training

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (
    "docs/measures/belief.md", "docs/methods/comparison.md", "docs/methods/learned.md",
    "docs/reference/inversion.md", "docs/guides/photographs.md", "docs/guides/encoders.md",
)  # fmt: skip
ATTRIBUTES = ("smiling", "male", "age", "yaw", "mouth_open")
JUDGES = ("mobile-faces", "faces")


def pages() -> dict[Path, str]:
    """Each page with its tables as the results have them."""
    found = {}
    for name in PAGES:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        found[path] = re.sub(
            r"(<!-- figures: ([\w-]+) -->\n).*?(?=<!-- end -->)", _filled, text, flags=re.DOTALL
        )
    return found


def _filled(match: re.Match[str]) -> str:
    return f"{match[1]}\n{TABLES[match[2]]()}\n\n"


@cache
def comparison(results: str) -> dict[str, str]:
    """Tables of all methods beside each other."""
    return markdown(_results(results))


def held_out(results: str) -> str:
    """Directions as found, conditioned, and those of the judge's own labels."""
    found = _results(results)
    rows = []
    for judge in JUDGES:
        for a in ATTRIBUTES:
            one, after, measured, ceiling = (
                found[f"{judge}/{bank}"][a] for bank in ("one", "together", "measured", "ceiling")
            )
            rows.append(
                (
                    judge, a, f"{one['effect']:.2f} → {after['effect']:.2f}",
                    f"{_percent(one['rises'])} → {_percent(after['rises'])}",
                    f"{one['leakage']:.2f} → {after['leakage']:.2f}", f"{measured['leakage']:.2f}",
                    f"{_percent(ceiling['rises'])}, {ceiling['leakage']:.2f}",
                )
            )  # fmt: skip
    heads = (
        "judge", "attribute", "effect per σ, before → after", "rises, before → after",
        "leakage, before → after", "leakage, effects diagonal", "ceiling: rises, leakage",
    )  # fmt: skip
    return _table(heads, rows)


def reach() -> str:
    """Shares of faces that rise."""
    found = _results("reach")
    kinds = {
        "others": "others", "its own labels": "its own labels",
        "own gradients": "each face's own gradient",
    }  # fmt: skip
    rows = [
        (judge, said, *(_percent(found[f"{judge}/{key}"][a]["rises"]) for a in ATTRIBUTES))
        for judge in JUDGES
        for key, said in kinds.items()
    ]
    return _table(("judge", "way", *ATTRIBUTES), rows)


def beside() -> str:
    """Leakage that conditioning on further attributes leaves, in the linear reading."""
    found = _results("reach")
    ways = ("nothing more", "pixels", "pose", "eyes")
    rows = []
    for judge in JUDGES:
        for a in ATTRIBUTES:
            entry = found[f"{judge}/planes"][a]
            cells = (
                f"{entry[w]['leakage']:.2f} ({_percent(entry[w]['effect kept'])})" for w in ways
            )
            rows.append((judge, a, f"{entry['degrees']:.0f}°", f"{entry['before']:.2f}", *cells))
    heads = ("judge", "attribute", "angle to the judge's own", "leakage before")
    return _table((*heads, *ways), rows)


def label_kinds() -> str:
    """Effects of directions for male and age by the kind of their labels."""
    found = _results("label-kinds")
    kinds = [key.split("/", 1)[1] for key in found if key.startswith(f"{JUDGES[0]}/")]
    rows = [
        (
            _said(kind),
            *(
                _kind(found[f"{judge}/{kind}"][a]) if f"{judge}/{kind}" in found else ""
                for judge in JUDGES
                for a in ("male", "age")
            ),
        )
        for kind in kinds
    ]
    heads = [f"{a}, by {judge}" for judge in JUDGES for a in ("male", "age")]
    return _table(("labels or gradients", *heads), rows)


def _said(kind: str) -> str:
    what, _, how = kind.partition(", ")
    noun, count = what.split()
    said = f"{int(count):,} {noun}"
    if "+" in how:
        return f"{said}, mean of {how.replace('+', ' and ')}"
    if how in ("mirror", "mirror and shifts"):
        return f"{said}, mean over {how.replace('mirror', 'mirror images')}"
    return f"{said}, {how}" if how == "conditioned" else said


def _kind(entry: dict[str, float]) -> str:
    reading, effect, rises = entry["reading"], entry["effect"], entry["rises"]
    return f"{reading:.2f} · {effect:.2f} · {_percent(rises)}"


def planted() -> str:
    """True leakage on planted faces, with and without corrections for noise."""
    found = _results("noisy-labels")
    ways = WAYS
    rows = []
    for key, entry in found.items():
        if key.startswith("planted/"):
            labels, noise = re.fullmatch(r"planted/(\d+) labels, noise (.*)", key).groups()  # type: ignore[union-attr]
            cells = (f"{entry[w]['leakage']:.2f} ({entry[w]['effect']:.2f})" for w in ways)
            rows.append((f"{int(labels):,}", noise, *cells))
    return _table(("labels", "noise", *ways), rows)


def corrected() -> str:
    """The same with a labeler held out."""
    found = _results("noisy-labels")
    rows = [
        (
            judge, a,
            *(
                f"{entry['leakage']:.2f} ({entry['effect']:.2f})"
                for entry in (found[f"{judge}/held out"][a][way] for way in WAYS)
            ),
        )
        for judge in JUDGES
        for a in ATTRIBUTES
    ]  # fmt: skip
    return _table(("judge", "attribute", *WAYS), rows)


WAYS = (
    "not conditioned", "conditioned", "conditioned, corrected", "conditional means",
    "conditional means, corrected",
)  # fmt: skip


def naming_power() -> str:
    """Directions that get a name."""
    rows = []
    for place in ("digiface64-z", "styleface64-w"):
        found = _results(f"naming-power-{place}")
        for method in ("sefa", "pca"):
            cells = [f"{case['named']:.1f}" for case in found[method]["cases"]]
            cells.append(f"{found[method]['by rank']:.1f}")
            rows.append((f"{method}, {place.replace('-', ' ')}", *cells))
    cases = _results("naming-power-digiface64-z")["sefa"]["cases"]
    heads = [
        f"{'no noise' if case['codes'] is None else format(case['codes'], ',') + ' codes'}, "
        f"{case['null']:,} random"
        for case in cases
    ]
    return _table(("bank", *heads, "64 codes, by rank among 60,000"), rows)


def sigma() -> str:
    """What one sigma changes, by space and estimator."""
    found = _results("sigma")
    rows = []
    for place, said in (("digiface64", "z of digiface64"), ("styleface64", "w of styleface64")):
        for way, by in (("ridge", "ridge"), ("mean_difference", "mean difference")):
            for a, entry in found[f"{place}/{way}"].items():
                effects = (f"{entry[k]:.2f}" for k in ("effect", "judged"))
                leaks = f"{entry['leakage']:.2f}, {entry['judged leakage']:.2f}"
                rows.append((said, by, a, f"{entry['sigma']:.1f}", *effects, leaks))
    heads = ("space", "estimator", "attribute", "one sigma in latent units")
    return _table((*heads, "effect by faces", "by mobile-faces", "leakage by each"), rows)


def ways(generator: str) -> str:
    """Ways to invert the same images, from `inversion_ways.py`."""
    columns = {
        "psnr": ("PSNR", 1), "photograph_psnr": ("photograph", 1), "identity": ("identity", 2),
        "distance": ("distance", 2), "kept": ("effect kept", 2), "edit_error": ("edit error", 2),
        "leakage": ("leakage", 2), "consistency": ("consistency", 2), "seconds": ("seconds", 2),
        "bytes": ("bytes", 0),
    }  # fmt: skip
    rows = [
        [
            name if "," in name else f"{name}, {row['space']}",
            *("–" if row.get(k) is None else f"{row[k]:.{n}f}" for k, (_, n) in columns.items()),
        ]
        for name, row in _results(f"inversion-ways-{generator}")["ways"].items()
    ]
    return _table(["way, space", *(head for head, _ in columns.values())], rows)


def peers() -> str:
    """The projector, Adam and L-BFGS beside ours at the PSNR of each, from `inversion.py`."""
    rows = []
    for store in ("digiface64-z", "styleface64-w"):
        generator, space = store.split("-")
        for name, row in _results(f"inversion-{store}").items():
            if name == "success":
                continue
            taken, alone = (median(row[key]) for key in ("peer_seconds", "seconds"))
            ours = ((alone, 1), (row["batched_seconds"], row["batch"]))
            rows.append([
                f"{generator}, {space}", name, f"{median(row['peer_psnr']):.1f}", f"{taken:.1f}",
                *(f"{t:.2f} ({taken / t:.3g}×, batch {n})" for t, n in ours),
                str(row["images"]),
            ])  # fmt: skip
    heads = ("generator, space", "peer", "its PSNR", "its seconds", "seconds here", "in a batch")
    return _table((*heads, "images"), rows)


COMPARISONS = {"z": "comparison", "w": "comparison-styleface64-w"}

TABLES: dict[str, Callable[[], str]] = {
    **{
        f"comparison-{space}-{table}": partial(lambda r, t: comparison(r)[t], results, table)
        for space, results in COMPARISONS.items()
        for table in ("summary", "drift", "judged", "names")
        if (space, table) != ("w", "judged")
    },
    "held-out-z": lambda: held_out("judge-digiface64-z"),
    "held-out-w": lambda: held_out("judge-styleface64-w"),
    "reach": reach,
    "beside": beside,
    "label-kinds": label_kinds,
    "planted": planted,
    "corrected": corrected,
    "naming-power": naming_power,
    "sigma": sigma,
    "leakage-styleface64": lambda: _table(*leakage(_results("learned-styleface64"))),
    "leakage-digiface64": lambda: _table(*leakage(_results("learned-digiface64"))),
    "rca": lambda: _table(*rca(_results("contrast"))),
    "training": lambda: _table(*training(_results("contrast"))),
    "leakage-goals": lambda: _table(
        *leakage_goals(
            [_results(f"learned-{name}") for name in ("styleface64", "digiface64")],
            _results("edit-orders"),
        )
    ),
    "peers": peers,
    "ways-digiface64": lambda: ways("digiface64"),
    "ways-styleface64": lambda: ways("styleface64"),
    **{
        name: lambda results=results, made=made: _table(*made(_results(results)))
        for name, (results, made) in INVERSION_TABLES.items()
    },
}


def _results(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
