"""The command `latdir edit`: samples moved along directions, as a grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from directions.errors import LatdirError
from latdir.commands.invert import Framed, verdict
from latdir.commands.text import MODEL, MODEL_HELP, bank_of_texts, load_model
from latdir.flags import with_flags
from latdir.models import PictureModel
from latdir.options import number
from latdir.samples import DrawnSamples
from latdir.spaces import common_space

if TYPE_CHECKING:
    from directions import DirectionBank
    from directions.generators import Generator

__all__ = ["edit"]

# Of the inversion whose code a generator is tuned around: the tuning does the rest.
PIVOT_STEPS = 12


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


@dataclass(frozen=True)
class Edited(DrawnSamples):
    """What is edited: samples, or a photograph.

    Attributes:
        image: A photograph instead.
        whole: Whether the generator's image is pasted back, or what the edit changed.
        tune: Whether the generator is tuned to the photograph first.
    """

    image: Annotated[
        Path | None, typer.Option(help="A photograph to edit, instead of samples.")
    ] = None
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Paste the generator's whole image, not only the change."),
    ] = False
    tune: Annotated[
        bool,
        typer.Option(
            "--tune", help="Tune the generator to the photograph first: edits then show its detail."
        ),
    ] = False


@with_flags
def edit(
    *,
    out: Annotated[Path, typer.Option(help="PNG; with --sweep also an animation, GIF or WebP.")],
    bank: Annotated[Path | None, typer.Argument(help="Bank file; none with --text.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="name=amount; several move together.")
    ] = None,
    sweep: Annotated[str | None, typer.Option(help="One direction, over --amounts.")] = None,
    targets: Targets,
    amounts: Annotated[str, typer.Option(help="Amounts with commas between.")] = "-3,-2,-1,0,1,2,3",
    unit: Annotated[
        str,
        typer.Option(
            help="The attribute's own, such as degrees or years, of a bank that was calibrated "
            "(`latdir evaluate --out` writes one), or attribute for each its own; sigma; latent."
        ),
    ] = "sigma",
    edited: Edited,
    framed: Framed,
    model: PictureModel,
) -> None:
    """Move samples along directions and draw the grid: rows are samples.

    Amounts mean most in the attribute's own unit (--unit degrees). One sigma is the spread of the
    codes along a direction, and in w of a StyleGAN often a small step.

    With --sweep and an --out that ends in .gif or .webp the samples, side by side, move from the
    smallest amount to the largest and back.

    With --image a photograph is edited instead: its face is brought to the generator's framing and
    inverted, the code moved, and the change pasted back at the size of the photograph. With --tune
    the generator is first tuned until it makes the photograph's face at its full detail.
    """
    import torch

    from directions import edit_frames, edit_grid, grid, move, save_animation, save_png
    from directions.images import ANIMATIONS
    from directions.scoring.scorer import Scorer

    text, animated = targets.text, out.suffix.lower() in ANIMATIONS
    ways = [bool(change), bool(sweep), bool(text)]
    if sum(ways) != 1:
        raise LatdirError(
            "choose an edit: --sweep smiling, --set smiling=2 --set yaw=-1, "
            'or --text "a smiling face"'
        )
    if animated and (not sweep or edited.image is not None):
        raise LatdirError(
            f"{out.name} is an animation, which takes --sweep NAME and samples: write a .png"
        )
    if bool(text) == (bank is not None):
        raise LatdirError(
            "--text finds its own directions: leave the bank out"
            if text
            else "name the bank that the direction is in, or use --text"
        )
    if edited.tune and edited.image is None:
        raise LatdirError("--tune goes with --image")
    if text and edited.image is not None:
        raise LatdirError("--image goes with --set or --sweep of a bank, not with --text")
    if text:
        made = model.made("digiface64")
        clip = load_model(targets.clip, device=model.device)
        found = bank_of_texts(made, clip, text, neutral=targets.neutral)
        codes = edited.codes(made)
        steps = [number(a, "--amounts") for a in amounts.split(",")]
        save_png(edit_grid(made, codes, found, amounts=steps, unit=unit), out)
        typer.echo(f"{out}")
        return
    assert bank is not None
    loaded, made = model.open(bank)
    changes = dict(_assignment(c) for c in change or [f"{sweep}=0"])
    chosen = loaded.select(changes)
    space = common_space(chosen, made)
    if edited.image is not None:
        steps = [number(a, "--amounts") for a in amounts.split(",")] if sweep else [1.0]
        moves = [{sweep: step} for step in steps] if sweep else [changes]
        _edit_photograph(edited, framed, made, chosen, moves, unit=unit, out=out)
        return
    codes = edited.codes(made, space)
    if sweep:
        steps = [number(a, "--amounts") for a in amounts.split(",")]
        if animated:
            low, high = min(steps), max(steps)
            frames = edit_frames(made, codes, chosen[sweep], low=low, high=high, unit=unit)
            save_animation(frames, out)
            typer.echo(f"{out}")
            return
        picture = edit_grid(made, codes, chosen[sweep], amounts=steps, unit=unit)
    else:
        moved = move(codes, chosen, changes, unit=unit)
        label = ", ".join(f"{k} {v:+g}" for k, v in changes.items())
        both = Scorer(made, space=space).images(torch.cat([codes, moved]))
        images = torch.cat([part.float().cpu() for part in both])
        images = torch.stack(images.chunk(2), 1)
        picture = grid(images, columns=["original", label], marked=0)
    save_png(picture, out)
    typer.echo(f"{out}")


def _edit_photograph(
    edited: Edited,
    framed: Framed,
    generator: Generator,
    bank: DirectionBank,
    moves: list[dict[str, float]],
    *,
    unit: str,
    out: Path,
) -> None:
    """The photograph after each of some moves, side by side, and what its inversion was worth."""
    import torch

    from directions import grid, invert, move, save_png, tune
    from directions.inversion import find_solver

    assert edited.image is not None
    photo = framed.open(edited.image, generator)
    space = common_space(bank, generator)
    if edited.tune:
        quick = find_solver("levenberg_marquardt", steps=PIVOT_STEPS)
        found = invert(generator, photo.image, space=space, solver=quick, restarts=0)
        made = tune(generator, photo.image, found.codes, space=space)
        generator, said = made.generator, f"{photo.name}: {made}"
        seen = generator.synthesize(found.codes, space)
    else:
        found = invert(generator, photo.image, space=space)
        seen, said = found.reconstruct(), verdict(photo.name, found, 0)
    before = None if edited.whole else seen
    with torch.no_grad():
        pictures = [
            photo.paste(
                generator.synthesize(move(found.codes, bank, amounts, unit=unit), space),
                instead_of=before,
            )[0]
            for amounts in moves
        ]
    if len(moves) == 1:
        save_png(pictures[0], out)
    else:
        titles = [f"{name} {amount:+g}" for amounts in moves for name, amount in amounts.items()]
        save_png(grid(torch.stack(pictures)[None], columns=titles), out)
    typer.echo(f"{out}")
    typer.echo(said)


def _assignment(text: str) -> tuple[str, float]:
    name, sign, value = text.rpartition("=")
    if not sign:
        raise LatdirError(f"--set takes name=amount, such as smiling=2, not {text!r}")
    return name, number(value, f"--set {name}")
