"""Configuration of the site; `tools/site.py` writes what it is made of to build/site."""

import os
import re
import sys
from pathlib import Path
from typing import Any

os.environ["TQDM_DISABLE"] = "1"
# A grammar of web addresses which jsonschema would build for a second, and nothing here needs.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

from sphinx.application import Sphinx

import latdir

ROOT = Path(__file__).parents[1]
project = "latdir"
author = "The latdir developers"
project_copyright = "The latdir developers, MIT license"
release = version = latdir.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["methods/gallery/*.ipynb"]  # downloads, not pages
html_theme = "furo"
html_title = "latdir"
html_static_path = [str(ROOT / "docs" / "_static")]
html_css_files = ["site.css"]
html_theme_options = {"footer_icons": [], "top_of_page_buttons": []}
html_copy_source = False
html_show_sphinx = False

# Notebooks are committed with their pictures, which the tests make again.
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_use_ivar = True
napoleon_attr_annotations = False

sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "build" / "site" / "examples"),
    "gallery_dirs": "methods/gallery",
    "filename_pattern": r"/\w+\.py",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("pictures",),
    "reset_modules": ("pictures.quiet",),
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "write_computation_times": False,
    "min_reported_time": 0,
    "remove_config_comments": True,
    "abort_on_example_error": True,
    "parallel": True,
}


def _plain(app, what, name, obj, options, lines):  # type: ignore[no-untyped-def]
    """Docstrings use single backticks for code; elsewhere marks of the markup are text."""
    doctest = False
    for i, line in enumerate(lines):
        doctest = line.lstrip().startswith(">>>") or (doctest and bool(line.strip()))
        if doctest or line.lstrip().startswith(".. "):
            continue
        parts = re.split(r"(``[^`]+``|`[^`]+`)", line)
        lines[i] = "".join(
            (part if part.startswith("``") else f"`{part}`")
            if part.startswith("`")
            else re.sub(r"([*|]|_(?=\W|$))", r"\\\1", part)
            for part in parts
        )


def _pages_alone(app, page, template, context, doctree):  # type: ignore[no-untyped-def]
    """The list of pages, made without the public names that Furo would copy for every page."""
    tree, whole = context.get("toctree"), app.env.tocs
    short = {name: _title(toc) if name.startswith("api/") else toc for name, toc in whole.items()}

    def pages(**options: Any) -> str:
        app.env.tocs = short
        try:
            return str(tree(**options))
        finally:
            app.env.tocs = whole

    if tree is not None:
        context["toctree"] = pages


def _title(contents):  # type: ignore[no-untyped-def]
    """A page's table of contents with its title alone."""
    made = contents.copy()
    made += contents[0].copy()
    made[0] += contents[0][0].deepcopy()
    return made


def setup(app: Sphinx) -> None:
    """Connect hooks before napoleon's and Furo's."""
    app.connect("autodoc-process-docstring", _plain, priority=100)
    app.connect("html-page-context", _pages_alone, priority=100)
