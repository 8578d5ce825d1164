"""Measuring commands: effects, evaluate, compare, report."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.registry import MEASURES
from directions.errors import LatdirError
from directions.storage.atomic import made_folder
from latdir.cache import keeping_scores
from latdir.executing import Executing
from latdir.flags import Flags, with_flags
from latdir.models import JudgedModels
from latdir.options import AttributeNames, BankFile, attributes_of, left_out, split_names
from latdir.output import (
    FIGURES,
    TABLES,
    Json,
    figure_format,
    say,
    table,
    table_format,
    write_figure,
    write_table,
    write_text,
)

if TYPE_CHECKING:
    from directions.bank import DirectionBank
    from directions.classifiers.base import Classifier
    from directions.generators.base import Generator

__all__ = ["compare", "effects", "evaluate", "report"]


MeasureCounts = Annotated[
    Mapping[str, int],
    Flags(
        tuple(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=entry.flag.default,
                annotation=Annotated[int, typer.Option(help=entry.flag.help, min=0)],
            )
            for name, entry in MEASURES.items()
            if entry.flag is not None
        )
    ),
]


def _opened(
    bank: Path, models: JudgedModels, attributes: str | None
) -> tuple[DirectionBank, Generator, Classifier, list[str], list[str]]:
    """What a command measures: bank, generator, classifier, attributes, and those left out."""
    loaded, made = models.open(bank)
    scorer = models.scorer()
    return loaded, made, scorer, *attributes_of(attributes, loaded, scorer)


@keeping_scores
@with_flags
def effects(
    *,
    bank: BankFile,
    attributes: AttributeNames = None,
    count: Annotated[int, typer.Option(help="Held-out codes.")] = 256,
    step: Annotated[float, typer.Option(help="Length of the step, in sigma.")] = 2.0,
    out: Annotated[Path | None, typer.Option(help=".json, .png, .pdf or .svg to write.")] = None,
    models: JudgedModels,
    where: Executing,
    as_json: Json = False,
) -> None:
    """Measure the effect of each direction on the attributes, on held-out codes."""
    from analysis import measure_effects, plots

    if out is not None and out.suffix != ".json":
        figure_format(out)
    loaded, made, scorer, names, rest = _opened(bank, models, attributes)
    measured = measure_effects(
        made,
        scorer,
        loaded,
        attributes=names,
        count=count,
        step=step,
        judge=models.second(),
        rendering=models.rendering(executor=where.made()),
    )
    data = measured.as_dict() | {"left_out": rest}
    if out is not None and out.suffix == ".json":
        write_text(out, json.dumps(data, indent=1, allow_nan=False))
    elif out is not None:
        write_figure(out, plots.plot_effects(measured))
    rows = [
        [name, seen.source.classifier, *(_signed(cells.get(a)) for a in measured.names)]
        for k, name in enumerate(measured.directions)
        for seen in filter(None, (measured, measured.judged))
        for cells in [dict(zip(seen.names, seen.standardized[k].tolist(), strict=True))]
    ]
    title = "Change per sigma, in standard deviations of each attribute"
    shown = table(title, ["direction", "labels of", *measured.names], rows)
    say(data, shown, left_out(rest), as_json=as_json)


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"


@keeping_scores
@with_flags
def evaluate(
    *,
    bank: BankFile,
    out: Annotated[Path | None, typer.Option(help="Folder for all tables.")] = None,
    tables: Annotated[str, typer.Option(help="csv or parquet.")] = "csv",
    attributes: AttributeNames = None,
    count: Annotated[int, typer.Option(help="Held-out codes.", min=2)] = 128,
    null: Annotated[int, typer.Option(help="Random directions.", min=3)] = 16,
    measures: MeasureCounts,
    models: JudgedModels,
    where: Executing,
    as_json: Json = False,
) -> None:
    """Measure all there is to measure of a bank: effects, leakage, accuracy.

    The folder gets directions and effects as tables, everything as evaluation.json, and the
    bank with its calibration as bank.safetensors.
    """
    from analysis.evaluation import evaluate as measure

    table_format(Path(f"directions.{tables}"))
    loaded, made, scorer, names, rest = _opened(bank, models, attributes)
    found = measure(
        loaded,
        made,
        scorer,
        attributes=names,
        count=count,
        null=null,
        measures=measures,
        judge=models.second(),
        rendering=models.rendering(executor=where.made()),
    )
    columns, data = found.columns(), found.as_dict() | {"left_out": rest}
    if out is not None:
        made_folder(out)
        write_table(out / f"directions.{tables}", columns)
        write_table(out / f"effects.{tables}", found.effect_columns())
        write_text(out / "evaluation.json", json.dumps(data, indent=1, allow_nan=False))
        found.bank.save(out / "bank.safetensors")
    rows = list(zip(*columns.values(), strict=True))
    said = [f"{r.direction} {r.text}".strip() for r in found.remarks]
    title = f"{bank} on {count} held-out codes (SD: standard deviations of the attribute)"
    shown = table(title, [name.replace("_", " ") for name in columns], rows)
    say(data, shown, *said, left_out(rest), as_json=as_json)


@keeping_scores
@with_flags
def compare(
    *,
    banks: Annotated[list[Path], typer.Argument(help="Bank files of one generator.")],
    out: Annotated[
        list[Path] | None,
        typer.Option(help=".csv, .parquet, .json, .png, .pdf or .svg; may be given again."),
    ] = None,
    attributes: Annotated[
        str | None, typer.Option(help="Names with commas; by default all that banks aim at.")
    ] = None,
    change: Annotated[
        float, typer.Option(help="Common change of each target, in its standard deviations.")
    ] = 1.0,
    identity: Annotated[bool, typer.Option(help="Measure identity too, if possible.")] = True,
    count: Annotated[int, typer.Option(help="Held-out codes.", min=2)] = 128,
    models: JudgedModels,
    where: Executing,
    as_json: Json = False,
) -> None:
    """Set banks side by side on the same held-out codes, at equal effect."""
    from analysis.comparison import EqualEffect, compare_methods
    from analysis.edits.targets import match_targets
    from analysis.evaluation import embedding
    from analysis.plots import plot_comparison
    from directions import DirectionBank, load_generator

    for path in out or []:
        if path.suffix.lstrip(".").lower() not in (*TABLES, *FIGURES):
            kinds = ", ".join((*TABLES, *FIGURES))
            raise LatdirError(f"a comparison is written as {kinds}, not {path.name!r}")
    loaded = {path.stem: DirectionBank.load(path) for path in banks}
    if len(loaded) < len(banks):
        raise LatdirError("two of the bank files have the same name: rename one")
    made = load_generator(
        models.generator or next(iter(loaded.values())).generator, device=models.device
    )
    scorer = models.scorer()
    wanted = split_names(attributes)
    if wanted is None:
        aims = [set(match_targets(b, scorer.names).values()) for b in loaded.values()]
        wanted = [name for name in scorer.names if any(name in aim for aim in aims)]
    found = compare_methods(
        made,
        scorer,
        loaded,
        attributes=wanted,
        at=EqualEffect(change=change),
        count=count,
        embed=embedding(scorer) if identity else None,
        rendering=models.rendering(executor=where.made()),
        judge=models.second(),
    )
    data = found.as_dict()
    for path in out or []:
        kind = path.suffix.lstrip(".").lower()
        if kind in FIGURES:
            write_figure(path, plot_comparison(found))
        elif kind == "json":
            write_text(path, json.dumps(data, indent=1, allow_nan=False))
        else:
            write_table(path, found.columns())
    shown = ["method", "attribute", "amount", *found.metrics]
    columns = found.columns()
    rows = list(zip(*(columns[name] for name in shown), strict=True))
    means = {
        metric: {method: mean.mean for method, mean in found.overall(metric).items()}
        for metric in found.metrics
    }
    rows += [
        (method, "all", None, *(means[metric].get(method) for metric in found.metrics))
        for method in found.methods
    ]
    title = (
        f"At equal effect, {change:g} standard deviation, on {count} held-out codes, labels of "
        f"{found.labelers}"
    )
    say(data, table(title, shown, rows), as_json=as_json)


@keeping_scores
@with_flags
def report(
    *,
    bank: BankFile,
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
    attributes: AttributeNames = None,
    count: Annotated[int, typer.Option(help="Held-out codes.", min=2)] = 128,
    measures: MeasureCounts,
    models: JudgedModels,
    where: Executing,
    as_json: Json = False,
) -> None:
    """Measure a bank and write one self-contained HTML page about it."""
    from analysis.evaluation import evaluate as measure

    loaded, made, scorer, names, rest = _opened(bank, models, attributes)
    found = measure(
        loaded,
        made,
        scorer,
        attributes=names,
        count=count,
        measures=measures,
        judge=models.second(),
        rendering=models.rendering(executor=where.made()),
    )
    found.report(out, made)
    said = {"report": str(out), "remarks": found.as_dict()["remarks"], "left_out": rest}
    say(said, f"{out}", left_out(rest), as_json=as_json)
