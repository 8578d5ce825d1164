"""Configuration of the site; `tools/site.py` writes what it is made of to build/site."""

import os
import re
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"

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
    "parallel": 2,
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


def setup(app: Sphinx) -> None:
    """Connect the hook before napoleon's."""
    app.connect("autodoc-process-docstring", _plain, priority=100)
