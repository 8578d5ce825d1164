"""One self-contained HTML report of a bank: effects of its directions and their evidence.

Every measure of `analysis.registry` adds its own part, columns of the summary, figures and remarks.
The page loads nothing and runs no script: images and figures are embedded. It follows the reader's
light or dark setting, prints, and says in words what its figures show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from analysis.edits.effects import Effects
from analysis.edits.nulls import RandomNull
from analysis.measures.base import Part, Scored
from analysis.measures.tables import Cell, Row, Table, flattened, number
from analysis.plots.theme import DARK, LIGHT
from analysis.registry import CHAPTERS, MEASURES, draw, find_measure, measured, remarks
from analysis.report.inline import css_colors
from analysis.report.per_direction import articles, strips, svg
from directions.arguments import checked
from directions.bank import DirectionBank
from directions.editing.grids import AMOUNTS
from directions.errors import BankError, LatdirError
from directions.generators.base import Generator
from directions.storage.atomic import atomic

__all__ = ["write_report"]


@checked
def write_report(
    path: str | Path,
    *,
    bank: DirectionBank,
    effects: Effects,
    generator: Generator | None = None,
    null: RandomNull | None = None,
    results: Mapping[str, Any] | None = None,
    amounts: Sequence[float] = AMOUNTS,
    samples: int = 4,
    title: str | None = None,
) -> Path:
    """Write one HTML file about a bank.

    The curves behind `effects` decide which sections appear: calibration needs amounts
    within one sigma, leakage and identity several positive ones (and embeddings). So measure once,
    and widely:

        curves = measure_curves(generator, classifier, bank, embed=classifier.embed)
        write_report("report.html", bank=bank, effects=effects_of(curves), generator=generator)

    Args:
        path: The file to write; its folder must exist.
        bank: The directions.
        effects: Their measured effects.
        generator: Draws the strips of images; without it there are none.
        null: Effects of random directions, measured in the same way.
        results: Results of measures by their names in `analysis.registry`, such as
            `{"realism": measure_realism(…)}`; those that `effects` suffice for are computed.
        amounts: Columns of the strips, in sigma; 0 is added.
        samples: Rows of the strips, the first of the held-out codes.
        title: Heading; by default it names the generator.

    Returns:
        The path written.

    Raises:
        LatdirError: Effects of other directions or another generator than the bank's, a generator
            other than the bank's, no samples, or a file that cannot be written.
    """
    _check(bank, effects, generator, samples)
    found = measured(Scored(bank, effects, null)) | dict(results or {})
    found = {name: found[name] for name in MEASURES if found.get(name) is not None}
    context = _context(bank, effects, null, found, title or f"Directions of {bank.generator}")
    pictures = {} if generator is None else strips(generator, bank, effects, amounts, samples)
    for article in context["directions"]:
        article["strip"] = pictures.get(article["name"])
    page = _template().render(context)
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


def _check(
    bank: DirectionBank, effects: Effects, generator: Generator | None, samples: int
) -> None:
    if tuple(bank) != effects.directions:
        raise LatdirError(
            f"the effects are of {', '.join(effects.directions)}, the bank holds "
            f"{', '.join(bank) or 'nothing'}: measure this bank, or give bank.select(…)"
        )
    if bank.fingerprint != effects.source.fingerprint:
        raise BankError(
            f"the effects were measured on {effects.source.generator} "
            f"({effects.source.fingerprint[:12]}…), the bank belongs to {bank.generator} "
            f"({bank.fingerprint[:12]}…): measure it on its own generator"
        )
    if generator is not None:
        bank.check(generator)
    if samples < 1:
        raise LatdirError(f"strips of {samples} samples show nothing: give 1 or more")


def _template() -> Any:
    # The values are all text or markup made here: whatever a bank file says is escaped.
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_resource("report.html"))


def _resource(name: str) -> str:
    return resources.files("analysis.report").joinpath(name).read_text(encoding="utf-8")


def _context(
    bank: DirectionBank,
    effects: Effects,
    null: RandomNull | None,
    found: Mapping[str, Any],
    title: str,
) -> dict[str, Any]:
    anchors = {name: f"direction-{k}" for k, name in enumerate(bank)}
    said = remarks(found, effects.directions)
    source = effects.source
    return {
        "title": title,
        "lead": _lead(bank, effects, null),
        "light": Markup(css_colors(LIGHT)),
        "dark": Markup(css_colors(DARK)),
        "css": Markup(_resource("report.css")),
        "anchors": anchors,
        "interval": f"The {effects.level:.0%} range",
        "summary": _summary(found, anchors),
        "warnings": [r for r in said if r.kind == "warning"],
        "notes": [r for r in said if r.kind == "note" and not r.direction],
        "chapters": list(_chapters(found, anchors)),
        "directions": articles(bank, found, said, anchors),
        "how": _how(effects, null),
        "sources": [
            ("generator", f"{source.generator}, sha256 {source.fingerprint}"),
            ("classifier", f"{source.classifier}, sha256 {source.classifier_fingerprint}"),
            *_judge(effects),
            ("held-out codes", f"{source.count}, seed {source.seed}, ψ {source.truncation:g}"),
            ("amounts (sigma)", ", ".join(number(a) for a in effects.curves.amounts.tolist())),
            ("arithmetic", f"{source.precision} on {source.device}, torch {torch.__version__}"),
        ],
        "provenance": list(flattened(bank.provenance)),
        "again": _again(effects),
        "version": metadata.version("latdir"),
    }


def _judge(effects: Effects) -> list[tuple[str, str]]:
    if effects.judged is None:
        return []
    source = effects.judged.source
    return [("judge", f"{source.classifier}, sha256 {source.classifier_fingerprint}")]


def _summary(found: Mapping[str, Any], anchors: Mapping[str, str]) -> Table:
    """One line per direction, with the columns of every measure."""
    columns: dict[str, Mapping[str, Cell]] = {}
    for name, result in found.items():
        columns |= find_measure(name).summary(result)
    rows = [
        Row(name, anchor, tuple(cells.get(name, Cell("–")) for cells in columns.values()))
        for name, anchor in anchors.items()
    ]
    return Table(("direction", *columns), tuple(rows))


def _chapters(found: Mapping[str, Any], anchors: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The chapters to which a measure has something to add, with their parts."""
    for key, chapter in CHAPTERS.items():
        parts = [
            {"entry": MEASURES[name], "figure": _figure(name, result, part), **vars(part)}
            for name, result in found.items()
            if MEASURES[name].chapter == key
            and (part := find_measure(name).part(result, anchors)) is not None
        ]
        if parts:
            yield {"id": key, "title": chapter.title, "lead": chapter.lead, "parts": parts}


def _figure(name: str, result: Any, part: Part) -> Markup | None:
    figure = draw(name, result)
    return None if figure is None else svg(figure, part.label or part.text, name)


def _lead(bank: DirectionBank, effects: Effects, null: RandomNull | None) -> str:
    many = "direction" if len(bank) == 1 else "directions"
    beside = "" if null is None else f", beside {len(null.effects.directions)} random ones"
    return (
        f"{len(bank)} {many} of {bank.generator}, measured on {effects.source.count} codes that "
        f"none of them was found with{beside}: the effect of each, its side effects, and their "
        f"uncertainty. By the labels of {effects.labelers}."
    )


def _how(effects: Effects, null: RandomNull | None) -> str:
    step = number(effects.step, sign=True)
    move = (
        f"from {number(-effects.step)} to {step} sigma, divided by {number(2 * effects.step)},"
        if effects.symmetric
        else f"from 0 to {step} sigma, divided by {number(effects.step)},"
    )
    text = (
        f"The change of a score {move} is averaged over the codes. Intervals are Student "
        f"intervals at {effects.level:.0%} over the codes; at equal effect they include the errors "
        "of the amount and of the standard deviations."
    )
    if null is not None:
        drawn = "like differences of codes" if null.kind == "prior" else "uniformly from the sphere"
        text += (
            f" The null (null={null.kind!r}) is {len(null.effects.directions)} random directions, "
            f"drawn {drawn}, moved by the same step on the same codes; its band holds "
            f"{null.level:.0%} of such directions."
        )
    return text


def _again(effects: Effects) -> str:
    source = effects.source
    rendering = f"truncation={source.truncation!r}, precision={source.precision!r}"
    return (
        "from directions import DirectionBank, Rendering\n"
        "import analysis\n\n"
        'bank = DirectionBank.load("bank.safetensors", generator)\n'
        "effects = analysis.measure_effects(\n"
        f"    generator, classifier, bank, step={effects.step!r}, symmetric={effects.symmetric},\n"
        f"    count={source.count}, seed={source.seed},\n"
        f"{'' if effects.judged is None else '    judge=judge,' + chr(10)}"
        f"    rendering=Rendering({rendering}),\n"
        ")\n"
    )
