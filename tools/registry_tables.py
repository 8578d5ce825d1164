"""Tables of methods and measures in docs/, written from the registries: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

from analysis.registry import MEASURES
from discovery.registry import METHODS

DOCS = Path(__file__).parents[1] / "docs"


def pages() -> dict[Path, str]:
    """Pages with a table between `<!-- registry -->` and `<!-- end -->`, with that table."""
    link = r"[\g<0>](https://arxiv.org/abs/\1)"
    methods = [
        (f"`{name}`", entry.summary, re.sub(r"arXiv:(\d+\.\d+)", link, entry.paper))
        for name, entry in METHODS.items()
    ]
    measures = [
        (f"`{name}`", entry.summary, ", ".join(f"`{column}`" for column in entry.columns))
        for name, entry in MEASURES.items()
    ]
    return {
        DOCS / "methods/index.md": _filled(
            "methods/index.md", ("name", "finds", "source"), methods
        ),
        DOCS / "measures/index.md": _filled(
            "measures/index.md", ("name", "computes", "columns"), measures
        ),
    }


def _filled(page: str, heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    before, mark, rest = (DOCS / page).read_text(encoding="utf-8").partition("<!-- registry -->\n")
    _, end, after = rest.partition("<!-- end -->\n")
    return f"{before}{mark}{table}\n{end}{after}"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
