"""The documentation site: a page for everything registered, all reachable, nothing from outside."""

import ast
import os
import re
import runpy
import subprocess
import sys
from fnmatch import fnmatch
from functools import cache
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

import pytest

import analysis
import directions
import discovery
from analysis.registry import MEASURES
from discovery.registry import METHODS, describe

ROOT = Path(__file__).parents[1]
TOCTREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)


@cache
def site() -> dict:
    return runpy.run_path(str(ROOT / "tools" / "site.py"))


@cache
def pages() -> dict[str, str]:
    return site()["staged"]()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_page_with_an_example(name: str) -> None:
    text = site()["example"](name)
    entry = METHODS[name]
    assert entry.use, f"discovery/registry.py: say in `use` when {name} is the method to take"
    title = ast.get_docstring(ast.parse(text))
    assert title is not None
    assert title.startswith(f"{name}\n")
    assert entry.summary in title
    calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
    made = [c for c in calls if ast.unparse(c.func) == f"ld.{entry.location.partition(':')[2]}"]
    settings = {setting.name: setting for setting in describe(name).settings}
    assert {k.arg for k in made[0].keywords} <= set(settings)
    assert [s for s in settings if f"``{s}``" not in text] == []
    # Codes of a space of weights are not those that the example draws.
    assert ('bank, space="z")' in text) == name.startswith("weight_")


def test_every_measure_column_and_public_name_is_on_a_page() -> None:
    text = pages()["measures/all.md"]
    for name, entry in MEASURES.items():
        assert f"## {name}\n" in text
        assert all(f"| `{column}` | {means} |" in text for column, means in entry.columns.items())
    for package in (directions, discovery, analysis):
        text = pages()[f"api/{package.__name__}.rst"]
        constants = {"plots", "METHODS", "HELD_OUT_SEED", "NAMING_SEED"}
        names = set(package.__all__) - constants
        assert [n for n in names if f":: {package.__name__}.{n}\n" not in text] == []


def test_every_page_is_reached_from_the_first() -> None:
    known = {name.rpartition(".")[0] for name in pages()} | {"methods/gallery/index"}
    seen, queue = set(), ["index"]
    while queue:
        page = queue.pop()
        if page in seen:
            continue
        seen.add(page)
        text = pages().get(f"{page}.md", "")
        folder = PurePosixPath(page).parent
        for block in TOCTREE.findall(text):
            for line in block.splitlines():
                if line and not line.startswith(":"):
                    wanted = str(folder / line)
                    found = [name for name in known if fnmatch(name, wanted)]
                    assert found, f"{page} lists {line}, which is no page"
                    queue += found
    assert known - seen == set()


def test_links_of_pages_stay_in_the_site() -> None:
    folder = PurePosixPath
    pictures = {f"images/{p.name}" for p in (ROOT / "docs" / "images").iterdir()}
    for place, text in pages().items():
        for _, target, _ in site()["LINK"].findall(text):
            full = os.path.normpath(folder(place).parent / target)
            assert full in pages() or full in pictures, f"{place} links to {target}"


def test_a_link_to_a_missing_file_is_refused() -> None:
    page = ROOT / "docs" / "faq.md"
    with pytest.raises(FileNotFoundError, match=r"docs/faq.md links to nowhere.md"):
        site()["linked"]("[a](nowhere.md)", "faq.md", page, {})
    moved = site()["linked"]("[a](guides/labels.md#how)", "faq.md", page, {})
    assert moved == f"[a]({site()['REPOSITORY']}/blob/main/docs/guides/labels.md#how)"


class Fetched(HTMLParser):
    """What a browser fetches to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found.append(given.get("src") or "")
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.found.append(given.get("href") or "")


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_fetches_nothing() -> None:
    pytest.importorskip("sphinx")
    pytest.importorskip("sphinx_gallery")
    subprocess.run([sys.executable, "tools/site.py"], cwd=ROOT, check=True, env={
        **os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    html = ROOT / "build" / "site" / "html"
    for page in html.rglob("*.html"):
        parser = Fetched()
        parser.feed(page.read_text(encoding="utf-8"))
        outside = [url for url in parser.found if re.match(r"(https?:)?//", url)]
        assert outside == [], page.name
    for sheet in html.rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?:|@import", sheet.read_text(encoding="utf-8"))
    for name in METHODS:
        text = (html / "methods" / "gallery" / f"{name}.html").read_text(encoding="utf-8")
        assert re.search(rf"_images/sphx_glr_{name}_001\.png", text), f"{name} has no picture"
