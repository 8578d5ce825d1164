"""One self-contained HTML page for a bank: what its directions do, and how that is known.

The page loads nothing and runs no script: pictures and figures are inside. It follows the
reader's light or dark setting, prints, and says in words what its figures show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from analysis.edits.accuracy import Accuracy
from analysis.edits.calibration import CalibrationCurve, calibration_curves
from analysis.edits.consistency import Consistency
from analysis.edits.effects import Effects
from analysis.edits.identity import Identity, identity_preservation
from analysis.edits.leakage import Leakage, attribute_dependency
from analysis.edits.linear_range import LinearRange, linear_ranges
from analysis.edits.nulls import RandomNull, evident
from analysis.edits.realism import Realism
from analysis.plots.theme import DARK, LIGHT
from analysis.report.in_use import (
    accuracy_part,
    consistency_part,
    identity_figure,
    leakage_figure,
    realism_part,
)
from analysis.report.inline import css_colors
from analysis.report.per_direction import articles, strips
from analysis.report.remarks import remarks_on
from analysis.report.tables import (
    cosine_table,
    effect_table,
    flattened,
    number,
    summary_table,
)
from analysis.spaces.cosines import cosine_matrix
from directions.bank import DirectionBank
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.storage.atomic import atomic

__all__ = ["write_report"]

AMOUNTS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)


def write_report(
    path: str | Path,
    *,
    bank: DirectionBank,
    effects: Effects,
    generator: Generator | None = None,
    null: RandomNull | None = None,
    accuracy: Accuracy | None = None,
    consistency: Consistency | None = None,
    realism: Realism | None = None,
    amounts: Sequence[float] = AMOUNTS,
    samples: int = 4,
    title: str | None = None,
) -> Path:
    """Write one HTML file about a bank.

    What the curves behind `effects` hold decides which sections appear: calibration needs amounts
    within one sigma, leakage and identity several positive ones (and embeddings). So measure once,
    and widely:

        curves = measure_curves(generator, classifier, bank, embed=classifier.embed)
        write_report("report.html", bank=bank, effects=effects_of(curves), generator=generator)

    Args:
        path: The file to write; its folder must exist.
        bank: The directions.
        effects: What was measured on them.
        generator: Draws the strips of images; without it there are none.
        null: Effects of random directions, measured alike.
        accuracy: Whether edits reach what is asked, from `editing_accuracy`.
        consistency: Whether edits combine, from `edit_consistency`.
        realism: Whether edited images stay real, from `measure_realism`.
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
    curves = effects.curves
    calibrations: Sequence[CalibrationCurve] = ()
    ranges: Sequence[LinearRange] = ()
    if bool(((curves.amounts != 0) & (curves.amounts.abs() <= 1)).any()):
        calibrations = calibration_curves(curves, bootstrap=effects.bootstrap, level=effects.level)
        ranges = linear_ranges(curves, bootstrap=effects.bootstrap, level=effects.level)
    varying = {n for n, s in zip(curves.names, curves.std, strict=True) if s > 0}
    comparable = int((curves.amounts > 0).sum()) > 1 and bool(
        varying & set(curves.targets.values())
    )
    leakage = attribute_dependency(curves) if comparable and len(varying) > 1 else None
    identity = identity_preservation(curves) if comparable and curves.identity is not None else None
    context = _context(
        bank,
        effects,
        null,
        calibrations,
        ranges,
        leakage,
        identity,
        title or f"Directions of {bank.generator}",
    )
    pictures = {} if generator is None else strips(generator, bank, effects, amounts, samples)
    context["accuracy"] = accuracy and accuracy_part(accuracy)
    context["realism"] = realism and realism_part(realism)
    context["consistency"] = consistency and consistency_part(consistency, context["anchors"])
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
        raise LatdirError(
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
    calibrations: Sequence[CalibrationCurve],
    ranges: Sequence[LinearRange],
    leakage: Leakage | None,
    identity: Identity | None,
    title: str,
) -> dict[str, Any]:
    anchors = {name: f"direction-{k}" for k, name in enumerate(bank)}
    # Attributes are compared as log-odds: raw probabilities near 0 or 1 hardly move.
    compared, yardstick = effects.logit, None if null is None else null.logit
    said = remarks_on(compared, null=yardstick, calibrations=calibrations)
    probabilities = any(a.kind == "probability" for a in effects.attributes)
    counts = evident(effects, null)
    source = effects.source
    return {
        "title": title,
        "lead": _lead(bank, effects, null),
        "light": Markup(css_colors(LIGHT)),
        "dark": Markup(css_colors(DARK)),
        "css": Markup(_resource("report.css")),
        "anchors": anchors,
        "interval": f"The {effects.level:.0%} range",
        "summary": summary_table(effects, anchors, calibrations=calibrations, identity=identity),
        "warnings": [r for r in said if r.kind == "warning"],
        "notes": [r for r in said if r.kind == "note" and not r.direction],
        "faint": "not evident: the interval holds zero"
        + ("" if null is None else ", or random directions do as much"),
        "log_odds": probabilities,
        "matrix": effect_table(compared, anchors, counts=evident(compared, yardstick)),
        "matrix_caption": f"Standard deviations per sigma, with {effects.level:.0%} intervals",
        "raw": effect_table(effects, anchors, counts=counts) if probabilities else None,
        "units": effect_table(effects, anchors, counts=counts, units=True),
        "directions": articles(bank, compared, yardstick, calibrations, ranges, said, anchors),
        "has_null": null is not None,
        "leakage": None if leakage is None else leakage_figure(leakage),
        "identity": None if identity is None else identity_figure(identity),
        "cosines": _cosines(bank, anchors),
        "how": _how(effects, null),
        "sources": [
            ("generator", f"{source.generator}, sha256 {source.fingerprint}"),
            ("classifier", f"{source.classifier}, sha256 {source.classifier_fingerprint}"),
            ("held-out codes", f"{source.count}, seed {source.seed}, ψ {source.truncation:g}"),
            ("amounts (sigma)", ", ".join(number(a) for a in effects.curves.amounts.tolist())),
            ("arithmetic", f"{source.precision}, torch {torch.__version__}"),
        ],
        "provenance": list(flattened(bank.provenance)),
        "again": _again(effects),
        "version": metadata.version("latdir"),
    }


def _lead(bank: DirectionBank, effects: Effects, null: RandomNull | None) -> str:
    many = "direction" if len(bank) == 1 else "directions"
    beside = "" if null is None else f", beside {len(null.effects.directions)} random ones"
    return (
        f"{len(bank)} {many} of {bank.generator}, measured on {effects.source.count} codes that "
        f"none of them was found with{beside}: what each one moves, what it moves "
        "besides, and how sure that is."
    )


def _cosines(bank: DirectionBank, anchors: Mapping[str, str]) -> list[Any]:
    tables = []
    for space in dict.fromkeys(d.space for d in bank.directions):
        names = [d.name for d in bank.directions if d.space == space]
        if len(names) > 1:
            cosines = cosine_matrix(bank.select(names))
            tables.append(cosine_table(cosines, names, anchors, space=space))
    return tables


def _how(effects: Effects, null: RandomNull | None) -> str:
    step = number(effects.step, sign=True)
    move = (
        f"from {number(-effects.step)} to {step} sigma, divided by {number(2 * effects.step)},"
        if effects.symmetric
        else f"from 0 to {step} sigma, divided by {number(effects.step)},"
    )
    text = (
        f"The change of a score {move} is averaged over the codes. Intervals are percentile "
        f"bootstrap intervals at {effects.level:.0%} over the codes, {effects.bootstrap:,} "
        "resamples, the same for all directions."
    )
    if null is not None:
        text += (
            f" The null is {len(null.effects.directions)} directions drawn uniformly from the "
            "unit sphere, moved by the same step on the same codes; its band holds "
            f"{null.level:.0%} of such directions."
        )
    return text


def _again(effects: Effects) -> str:
    source = effects.source
    return (
        "from directions import DirectionBank\n"
        "import analysis\n\n"
        'bank = DirectionBank.load("bank.safetensors", generator)\n'
        "effects = analysis.measure_effects(\n"
        f"    generator, classifier, bank, step={effects.step!r}, symmetric={effects.symmetric},\n"
        f"    count={source.count}, seed={source.seed}, truncation={source.truncation!r},\n"
        f'    precision="{source.precision}",\n'
        ")\n"
    )
