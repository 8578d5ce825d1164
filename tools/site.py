"""The documentation site: `make docs`.

Pages of docs/, notebooks and model cards are copied to build/site/source, together with pages made
from the registries: an example a method, which the build runs, an entry a measure, and the public
names. Sphinx does the rest, offline, with warnings as errors.
"""

from __future__ import annotations

import ast
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import analysis
import directions
import discovery
from analysis.registry import MEASURES
from directions.lazy import typing_imports
from discovery.registry import METHODS, describe

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "site"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
# Classes some of whose members are defined in base classes that are not public.
PARTED = ("Samples",)
LINK = re.compile(r"(\]\()(?!https?:|#|<|mailto:)([^)\s#]+)(#[^)\s]*)?\)")

# Generator and settings of each method's example, small enough for a build of a minute.
EXAMPLES: dict[str, tuple[str, str, str]] = {
    "pca": ("styleface64", "w", "n_directions=4, n_codes=20_000"),
    "feature_regression": ("digiface64", "z", "n_directions=4, n_codes=256"),
    "sefa": ("styleface64", "w", "n_directions=4"),
    "conditional_flow": ("digiface64", "z", "steps=50"),
    "grad_ctrl": ("digiface64", "z", "steps=50"),
    "plugen": ("digiface64", "z", "steps=50"),
    "teach": ("digiface64", "z", "n_codes=256"),
    "gradient": ("digiface64", "z", "n_codes=64"),
    "latent2im": ("digiface64", "z", "n_codes=64, steps=20"),
    "active_subspace": ("digiface64", "z", "n_codes=64, n_directions=2"),
    "transforms": ("digiface64", "z", "n_codes=512"),
    "walks": ("digiface64", "z", 'transforms="brightness,red", steps=6'),
    "global_basis": ("digiface64", "z", "n_directions=4, n_codes=4"),
    "local_basis": ("digiface64", "z", "n_directions=4"),
    "region": ("digiface64", "z", "n_directions=3, n_codes=4"),
    "stylespace": ("styleface64", "s", "n_codes=200, n_directions=2, candidates=4, verify=4"),
    "local_channels": ("styleface64", "s", "n_directions=3, n_codes=8"),
    "orojar": ("digiface64", "z", "n_directions=4, n_codes=4"),
    "hessian_penalty": ("digiface64", "z", "n_directions=4, n_codes=2, steps=8"),
    "clip_boundary": ("digiface64", "z", "n_codes=128"),
    "clip_gradient": ("digiface64", "z", "n_codes=64"),
    "clip_global": ("digiface64", "z", "n_codes=2, channels=15"),
    "clip_optimize": ("digiface64", "z", "n_codes=4, steps=40"),
    "clip_mapper": ("digiface64", "z", "steps=15"),
    "voynov_babenko": ("digiface64", "z", "n_directions=4, n_codes=64, steps=10"),
    "warped_gan_space": ("digiface64", "z", "n_directions=4, n_codes=64, steps=10"),
    "potential_flow": ("digiface64", "z", "n_directions=4, n_codes=64, steps=10"),
    "decurved": ("digiface64", "z", "n_directions=4, n_codes=64, steps=10"),
    "disco": ("digiface64", "z", "n_directions=4, n_codes=64, steps=10"),
    "latent_clr": ("digiface64", "z", 'n_directions=4, steps=20, layer="relu.1"'),
    "weight_svd": ("digiface64", "z", "n_directions=4"),
    "weight_hessian": ("digiface64", "z", "n_directions=4, n_codes=2"),
    "weight_contrast": (
        "digiface64",
        "z",
        'n_directions=2, n_changes=4, n_codes=16, steps=4, batch_size=8, basis="svd"',
    ),
    "random_directions": ("digiface64", "z", "n_directions=4"),
}

TABLE = """Settings
--------

.. list-table::
   :header-rows: 1
   :widths: 20 20 60

   * - setting
     - default
     - meaning"""
# Rows that several examples read; flows of all of a code need more of them than its coordinates.
LABELS = [
    "import latdir as ld",
    'generator = ld.load_generator("digiface64")',
    'faces = ld.load_classifier("faces")',
    "# Kept in a folder: what is there already is not labeled again.",
    "samples = ld.sample(\n"
    '    generator, faces, 450, seed=0, attributes=["smiling", "yaw", "male"], out="labels"\n)',
]
GALLERY = """Every method
============

A page a method: what it finds, when to use it, a picture, its settings and its source. Each example
is run by the build of this site, so the time on its page was measured.
"""


def pages() -> dict[str, Path]:
    """Pages that are copied: their place in the site, to their file."""
    found = {p.relative_to(ROOT / "docs").as_posix(): p for p in (ROOT / "docs").rglob("*.md")}
    found |= {f"notebooks/{p.name}": p for p in (ROOT / "notebooks").glob("*.ipynb")}
    found |= {
        f"{n.lower()}.md": ROOT / f"{n}.md" for n in ("CHANGELOG", "CONTRIBUTING", "SECURITY")
    }
    cards = sorted((ROOT / "directions" / "zoo").glob("*/README.md"))
    return found | {f"models/{p.parent.name}.md": p for p in cards}


def linked(text: str, place: str, file: Path, placed: dict[Path, str]) -> str:
    """A page's text with links between files of the repository as links of the site.

    Args:
        text: Of the page.
        place: Of the page in the site.
        file: Of the page in the repository.
        placed: Files of the repository, to their places in the site.

    Raises:
        FileNotFoundError: A link to a file that does not exist.
    """

    def moved(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(file.parent / match[2]))
        if not target.exists():
            raise FileNotFoundError(f"{file.relative_to(ROOT)} links to {match[2]}")
        anchor = match[3] or ""
        if target in placed:
            return f"{match[1]}{os.path.relpath(placed[target], Path(place).parent)}{anchor})"
        kind = "tree" if target.is_dir() else "blob"
        return f"{match[1]}{REPOSITORY}/{kind}/main/{target.relative_to(ROOT).as_posix()}{anchor})"

    return LINK.sub(moved, text)


def staged() -> dict[str, str]:
    """The text of every page of the site, by place; pictures and examples are not among them."""
    copied = pages()
    placed = {file: place for place, file in copied.items()}
    placed |= {p: f"images/{p.name}" for p in (ROOT / "docs" / "images").iterdir()}
    # The readme's part is played by the first page.
    placed[ROOT / "README.md"] = "index.md"
    made = {
        place: linked(file.read_text(encoding="utf-8"), place, file, placed)
        for place, file in copied.items()
    }
    made["measures/all.md"] = "\n".join(measure_page())
    return made | {f"api/{p.__name__}.rst": api(p) for p in (directions, discovery, analysis)}


def example(name: str) -> str:
    """The example of a method: text, code that is run, picture, settings, source."""
    entry, family = METHODS[name], describe(name)
    module, _, cls = entry.location.partition(":")
    generator, space, settings = EXAMPLES.get(name, ("digiface64", "z", ""))
    needs = family.family.needs
    doc = _rest(ast.get_docstring(ast.parse(_source(module))) or "")
    source, given = "generator", ""
    # Directions in weights leave the codes where they are.
    apart = ', space="z"' if module.startswith("discovery.weights.") else ""
    before = ["import latdir as ld", f'generator = ld.load_generator("{generator}")']
    if "samples" in needs:
        source, before = "samples", LABELS
    elif "answers" in needs:
        source, given = "answers", ", generator=generator"
        before += [
            "codes = generator.sample(60, seed=0)",
            "# A person would look at the images: here their brightness answers.",
            'seen = ld.load_classifier("pixels")(generator.synthesize(codes))[:, 0].detach()',
            "labels = ld.Samples.from_arrays(\n"
            '    codes, seen > seen.median(), "bright", generator=generator\n)',
            "answers = ld.Answers.from_samples(labels)",
        ]
    elif "classifier" in needs:
        before.append('faces = ld.load_classifier("faces")')
        given = ', classifier=faces, attributes=["smiling"]'
    elif "text" in needs:
        given = ', text=["a smiling face"], neutral="a face", clip=ld.load_clip()'
    lines = [
        *before,
        f"bank = ld.{cls}({settings}).discover(\n    {source}{given}\n)"
        if len(settings + given) > 50
        else f"bank = ld.{cls}({settings}).discover({source}{given})",
        f'face = generator.sample(1, seed=1, space="{space}")',
        f"picture = ld.edit_grid(generator, face, bank{apart})",
    ]
    rows = "\n".join(
        f"#    * - ``{s.name}``\n#      - ``{s.default!r}``\n#      - {_rest(s.help)}"
        for s in family.settings
    )
    papers = re.sub(r"arXiv:(\d+\.\d+)", r"`arXiv:\1 <https://arxiv.org/abs/\1>`__", entry.paper)
    parts = [
        f'"""\n{name}\n{"=" * len(name)}\n\nFinds {entry.summary}.\n\n'
        f"**When to use it.** {_rest(entry.use)}\n\n**Source.** {papers}.\n"
        f'"""',
        "\n".join(lines),
        _comment("The directions, with their evidence:"),
        "print(bank.summary())",
        _comment(f"About the method\n{'-' * 16}\n\n{doc}"),
        _comment(TABLE) + "\n" + rows,
        _comment(
            f"On the command line: ``latdir discover {name} --help``. "
            f"API: :class:`discovery.{cls}`. The time below is that of this page, "
            "which the build of the site has run."
        ),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def measure_page() -> list[str]:
    """The page of all measures of a bank, in the order of the registry."""
    lines = ["# Every measure of a bank", ""]
    for name, entry in MEASURES.items():
        lines += [f"## {name}", "", f"Computes {entry.summary}.", ""]
        if entry.caption:
            lines += [f"In the report, under *{entry.title}*: {entry.caption}", ""]
        if entry.flag:
            lines += [f"Turned on by `--{name}` or `measures={{'{name}': 512}}`.", ""]
        if entry.columns:
            lines += ["| column of `latdir evaluate` | meaning |", "|---|---|"]
            lines += [f"| `{column}` | {text} |" for column, text in entry.columns.items()] + [""]
    return lines


def api(package: Any) -> str:
    """The reference of a package's public names, by the modules that define them."""
    title = f"{package.__name__}"
    lines = [title, "=" * len(title), "", f".. automodule:: {package.__name__}", ""]
    homes = typing_imports(package.__name__)
    for name in package.__all__:
        if name in ("plots", "METHODS", "HELD_OUT_SEED", "NAMING_SEED"):
            continue
        found = getattr(package, name)
        kind = "class" if isinstance(found, type) else "function"
        if isinstance(found, type) and issubclass(found, Exception):
            kind = "exception"
        lines += [f".. auto{kind}:: {package.__name__}.{name}"]
        lines += ["   :members:"] if kind == "class" else []
        lines += ["   :inherited-members:", ""] if name in PARTED else [""]
        assert name in homes or name in vars(package), name
    return "\n".join(lines)


def stage(folder: Path) -> None:
    """Write all that Sphinx reads."""
    for place, text in staged().items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "docs" / "images", folder / "images")
    examples = folder.parent / "examples"
    (examples / "README.rst").write_text(GALLERY, encoding="utf-8")
    for name in METHODS:
        (examples / f"{name}.py").write_text(example(name), encoding="utf-8")


def _source(module: str) -> str:
    return (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")


def _rest(text: str) -> str:
    """Text of a docstring as reStructuredText: code in double backticks, the rest plain."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(
        f"`{part}`" if part.startswith("`") else re.sub(r"([*|]|_(?=\W|$))", r"\\\1", part)
        for part in parts
    )


def _comment(text: str) -> str:
    body = "\n".join(f"# {line}".rstrip() for line in text.splitlines())
    return f"# %%\n{body}"


def main() -> int:
    """Write the tables of the registries and build the site; returns the exit status of Sphinx."""
    from sphinx.cmd.build import build_main

    for made in ("examples", "source", "doctrees", "html"):
        shutil.rmtree(BUILD / made, ignore_errors=True)
    (BUILD / "examples").mkdir(parents=True)
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'docs'}"
    sys.path.append(str(ROOT / "docs"))
    labels = [sys.executable, "-c", "\n".join(LABELS)]
    with subprocess.Popen(labels, cwd=BUILD / "examples") as labeling:
        runpy.run_path(str(ROOT / "tools" / "registry_tables.py"), run_name="__main__")
        stage(BUILD / "source")
    if labeling.returncode:
        return labeling.returncode
    paths = [ROOT / "docs", "-d", BUILD / "doctrees", BUILD / "source", BUILD / "html"]
    status = build_main(["-W", "--keep-going", "-q", "-j", "auto", "-c", *map(str, paths)])
    if not status:
        print(f"{len(list((BUILD / 'html').rglob('*.html')))} pages: {BUILD / 'html/index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
