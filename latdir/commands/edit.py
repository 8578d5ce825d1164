"""The command `latdir edit`: samples moved along directions, as a grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from directions.errors import LatdirError
from latdir.commands.text import MODEL, MODEL_HELP, bank_of_texts, load_model
from latdir.options import PictureModel, Seed, number, with_flags
from latdir.spaces import common_space

__all__ = ["edit"]


@dataclass(frozen=True)
class Targets:
    """Texts to move toward.

    Attributes:
        text: The texts; None without them.
        neutral: Where from.
        clip: The model that reads them.
    """

    text: Annotated[
        list[str] | None, typer.Option(help="Target text, moved toward over --amounts.")
    ] = None
    neutral: Annotated[str, typer.Option(help="Neutral text.")] = "a face"
    clip: Annotated[str, typer.Option(help=MODEL_HELP)] = MODEL


@with_flags
def edit(
    *,
    out: Annotated[Path, typer.Option(help="PNG to write.")],
    bank: Annotated[Path | None, typer.Argument(help="Bank file; none with --text.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="name=amount; several move together.")
    ] = None,
    sweep: Annotated[str | None, typer.Option(help="One direction, over --amounts.")] = None,
    targets: Targets,
    amounts: Annotated[str, typer.Option(help="Amounts with commas between.")] = "-3,-2,-1,0,1,2,3",
    unit: Annotated[str, typer.Option(help="sigma, latent, attribute, or degrees, …")] = "sigma",
    count: Annotated[int, typer.Option(help="Rows of the grid.", min=1)] = 4,
    seed: Seed = 1,
    model: PictureModel,
) -> None:
    """Move samples along directions and draw the grid: rows are samples."""
    import torch

    from directions import edit_grid, grid, move, save_png
    from directions.scoring.scorer import Scorer

    text = targets.text
    ways = [bool(change), bool(sweep), bool(text)]
    if sum(ways) != 1:
        raise LatdirError(
            "choose an edit: --sweep smiling, --set smiling=2 --set yaw=-1, "
            'or --text "a smiling face"'
        )
    if bool(text) == (bank is not None):
        raise LatdirError(
            "--text finds its own directions: leave the bank out"
            if text
            else "name the bank that the direction is in, or use --text"
        )
    if text:
        made = model.made("digiface64")
        clip = load_model(targets.clip, device=model.device)
        found = bank_of_texts(made, clip, text, neutral=targets.neutral)
        codes = made.sample(count, seed=seed)
        steps = [number(a, "--amounts") for a in amounts.split(",")]
        save_png(edit_grid(made, codes, found, amounts=steps, unit=unit), out)
        typer.echo(f"{out}")
        return
    assert bank is not None
    loaded, made = model.open(bank)
    changes = dict(_assignment(c) for c in change or [f"{sweep}=0"])
    chosen = loaded.select(changes)
    space = common_space(chosen, made)
    codes = made.sample(count, seed=seed, space=space)
    if sweep:
        steps = [number(a, "--amounts") for a in amounts.split(",")]
        picture = edit_grid(made, codes, chosen[sweep], amounts=steps, unit=unit)
    else:
        edited = move(codes, chosen, changes, unit=unit)
        label = ", ".join(f"{k} {v:+g}" for k, v in changes.items())
        both = Scorer(made, space=space).images(torch.cat([codes, edited]))
        images = torch.cat([part.float().cpu() for part in both])
        images = torch.stack(images.chunk(2), 1)
        picture = grid(images, columns=["original", label], marked=0)
    save_png(picture, out)
    typer.echo(f"{out}")


def _assignment(text: str) -> tuple[str, float]:
    name, sign, value = text.rpartition("=")
    if not sign:
        raise LatdirError(f"--set takes name=amount, such as smiling=2, not {text!r}")
    return name, number(value, f"--set {name}")
