"""The command `latdir solve`: attributes of samples changed by so much, others held."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from directions.errors import LatdirError
from latdir.flags import with_flags
from latdir.models import BankModels
from latdir.options import BankFile, number, split_names
from latdir.output import Json, say, table
from latdir.samples import ManySamples

if TYPE_CHECKING:
    from directions import Solution

__all__ = ["solve"]


@with_flags
def solve(
    *,
    bank: BankFile,
    out: Annotated[Path, typer.Option(help="PNG of originals and solutions.")],
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="name=change, in standard deviations; may be given again."),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(help="name=value, in the attribute's unit; may be given again."),
    ] = None,
    hold: Annotated[
        list[str] | None, typer.Option(help="Attribute that must not change; again for more.")
    ] = None,
    using: Annotated[
        str | None,
        typer.Option(help="Directions with commas, or all; by default those named by the others."),
    ] = None,
    samples: ManySamples,
    model: BankModels,
    as_json: Json = False,
) -> None:
    """Change attributes of samples by an amount or to a value, and hold others.

    Each sample's image is scored and its amounts corrected until the targets are met; the table
    says what was asked, what was reached, and what stopped the rest.
    """
    from directions import Level, edit_grid, save_png
    from directions import solve as solve_
    from latdir.spaces import common_space

    targets: dict[str, Any] = {}
    for flag, given in (("--set", change), ("--to", to)):
        for name, value in (_assigned(text, flag) for text in given or []):
            if name in targets:
                raise LatdirError(f"{name!r} has two targets: give one --set or --to")
            targets[name] = value if flag == "--set" else Level(value)
    if not targets:
        raise LatdirError("say what to change: --set smiling=+2, or --to age=50")
    held = [name for text in hold or [] for name in split_names(text) or []]
    loaded, made = model.open(bank)
    named = [name for name in loaded if name in targets or name in held]
    if using != "all":
        loaded = loaded.select(split_names(using) or named or list(loaded))
    space = common_space(loaded, made)
    codes = samples.codes(made, space)
    scorer = model.scorer()
    found = solve_(
        loaded,
        targets=targets,
        hold=held,
        codes=codes,
        generator=made,
        classifier=scorer,
        rendering=model.rendering(),
    )
    save_png(edit_grid(made, codes, loaded, amounts=found), out)
    columns = found.columns()
    rows = [_row(found, row, targets) for row in range(len(codes))]
    titles = ["code", *(f"{name} asked" for name in targets), *targets]
    titles += [f"{name} drift" for name in held]
    shown = table(
        f"{out}: {int(found.reached.sum())} of {len(codes)} samples as asked",
        titles,
        rows,
        note="Scores; drift of what is held in standard deviations",
    )
    say(columns, shown, *found.remarks, as_json=as_json)


def _row(found: Solution, row: int, targets: dict[str, Any]) -> list[Any]:
    """Scores asked and reached of one sample, and the drift of what is held."""
    started = {
        name: float(found.scores[name][row]) - float(found.changes[name][row]) * found.std[name]
        for name in targets
    }
    asked = [started[n] + float(found.wanted[n][row]) * found.std[n] for n in targets]
    reached = [float(found.scores[n][row]) for n in targets]
    drift = [float(c[row]) for n, c in found.changes.items() if n not in targets]
    return [str(row), *asked, *reached, *(f"{d:+.2f}" for d in drift)]


def _assigned(text: str, flag: str) -> tuple[str, float]:
    name, sign, value = text.partition("=")
    if not sign:
        raise LatdirError(f"{flag} takes name=number, such as smiling=2, not {text!r}")
    return name, number(value, f"{flag} {name}")
