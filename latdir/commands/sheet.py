"""The command `latdir sheet`: numbered samples to choose from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latdir.flags import with_flags
from latdir.models import PictureModel
from latdir.options import Seed

__all__ = ["sheet"]


@with_flags
def sheet(
    *,
    out: Annotated[Path, typer.Option(help="PNG to write.")],
    count: Annotated[int, typer.Option(help="Number of samples.", min=1)] = 60,
    seed: Seed = 1,
    start: Annotated[int, typer.Option(help="Number of the first.", min=0)] = 0,
    truncation: Annotated[float, typer.Option(help="ψ of the truncation trick.")] = 1.0,
    model: PictureModel,
) -> None:
    """Draw a sheet of numbered samples, to choose some for --pick of edit and solve."""
    from directions import contact_sheet, save_png

    made = model.made("digiface64")
    drawn = contact_sheet(made, count, seed=seed, start=start, truncation=truncation)
    save_png(drawn, out)
    typer.echo(f"{out}")
