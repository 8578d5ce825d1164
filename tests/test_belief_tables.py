"""Tables of docs/ that come from results of benchmarks are those of the results."""

import json
import re

import pytest

from benchmarks.belief_tables import COMPARISONS, PAGES, RESULTS, ROOT, TABLES, comparison, pages
from benchmarks.compare_settings import SUPERVISED, UNSUPERVISED
from benchmarks.compare_tables import stored
from benchmarks.comparison_figure import drawn


def test_the_tables_have_the_figures_of_the_results():
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, "run python -m benchmarks.belief_tables"


def test_every_table_is_on_a_page():
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    assert sorted(re.findall(r"<!-- figures: ([\w-]+) -->", text)) == sorted(TABLES)


def test_the_page_of_encoders_says_what_was_measured():
    page = (ROOT / "docs/guides/encoders.md").read_text(encoding="utf-8")
    shares = []
    for name in ("styleface64", "digiface64"):
        found = json.loads((RESULTS / f"encoders-{name}.json").read_text("utf-8"))
        encoder, ridge = found["encoder"], found["ridge"]
        shares.append(f"{encoder['median_seconds'] / ridge['median_seconds']:.2f}")
        assert (
            f"{encoder['psnr']:.1f} against {ridge['psnr']:.1f} dB and identity "
            f"{encoder['identity']:.2f} against {ridge['identity']:.2f}"
        ) in page
    assert f"needs {' and '.join(shares)} of the seconds" in page


def test_the_figure_of_the_methods_has_the_figures_of_the_table():
    found = {
        n: json.loads((RESULTS / f"{n}.json").read_text("utf-8")) for n in COMPARISONS.values()
    }
    panels = drawn({name: stored(one) for name, one in found.items()}).axes
    methods = [label.get_text() for label in panels[0].get_yticklabels()]
    shown = set().union(*(one["costs"] for one in found.values()))
    assert methods == [m for m in SUPERVISED | UNSUPERVISED if m in shown]
    for place, name in ((-0.15, "comparison"), (0.15, "comparison-styleface64-w")):
        rows = re.findall(
            r"^\| (.+?) \| ([\d.]+) \| (\d+) \| ([\d.]+|–)", comparison(name)["summary"], re.M
        )
        assert len(rows) == len(found[name]["costs"])
        for method, seconds, count, drift in rows:
            y = methods.index(method) + place
            marks = [
                [line.get_xdata()[0] for line in p.lines if list(line.get_ydata()) == [y]]
                for p in panels
            ]
            assert marks[0] == [int(count)]
            assert marks[2] == pytest.approx([max(float(seconds), 0.1)], abs=0.05)
            assert marks[1] == pytest.approx(
                [float(drift.rstrip("×"))] if drift != "–" else [], abs=5e-3
            )
