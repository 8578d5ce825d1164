"""The command `latdir invert`: photographs become codes, with a verdict on each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from directions.errors import LatdirError
from latdir.executing import Executing
from latdir.flags import with_flags
from latdir.messages import in_command
from latdir.options import DeviceName, GeneratorName, Seed, split_names
from latdir.output import Json, say, table

if TYPE_CHECKING:
    from directions import Inversion
    from directions.generators import Generator
    from directions.photographs import Photograph
    from directions.photographs.photograph import Align

__all__ = ["Framed", "invert", "verdict"]

ALIGN = ("face", "center")


@dataclass(frozen=True)
class Framed:
    """Which part of a photograph a generator is asked for.

    Attributes:
        align: By its face, or the middle.
        box: A part by its edges instead.
        face: Which of several faces.
    """

    align: Annotated[
        str, typer.Option(help="face: as the generator's own faces lie; center: the middle.")
    ] = "face"
    box: Annotated[
        str | None, typer.Option(help="Part to take instead: left,top,right,bottom in pixels.")
    ] = None
    face: Annotated[int | None, typer.Option(help="Of several faces, which; 0 is the largest.")] = (
        None
    )

    def open(self, path: Path, generator: Generator) -> Photograph:
        """The photograph in the generator's framing.

        Raises:
            LatdirError: Flags that are none, or as `open_photograph`.
        """
        from directions import open_photograph

        if self.align not in ALIGN:
            raise LatdirError(f"--align is face or center, not {self.align!r}")
        edges = split_names(self.box)
        if edges is not None and not all(edge.lstrip("-").isdigit() for edge in edges):
            raise LatdirError(f"--box takes left,top,right,bottom in pixels, not {self.box!r}")
        return open_photograph(
            path,
            generator,
            align=cast("Align", self.align),
            box=None if edges is None else [int(edge) for edge in edges],
            face=self.face,
        )


@dataclass(frozen=True)
class Search:
    """Where codes are looked for, and how.

    Attributes:
        space: Of the codes.
        solver: A name.
        encoder: A file, or the name of a generator that has a built-in one.
    """

    space: Annotated[
        str | None, typer.Option(help="Space of the codes; by default w where there is one.")
    ] = None
    solver: Annotated[str, typer.Option(help="auto, or a solver's name.")] = "auto"
    encoder: Annotated[
        str | None, typer.Option(help="File of an encoder whose codes to start from; or built-in.")
    ] = None


@with_flags
def invert(
    *,
    photos: Annotated[list[Path], typer.Argument(help="Photographs.")],
    out: Annotated[Path, typer.Option(help="PNG: each photograph beside its code's image.")],
    codes: Annotated[
        Path | None, typer.Option(help="safetensors file for the codes, which edit and solve take.")
    ] = None,
    framed: Framed,
    generator: GeneratorName = "digiface64",
    search: Search,
    seed: Seed = 0,
    device: DeviceName = "auto",
    where: Executing,
    as_json: Json = False,
) -> None:
    """Find the codes of photographs, and say how well the generator can make them.

    A photograph that cannot be opened or shows no face is left out with a line on stderr.
    """
    import torch

    from directions import Rendering, grid, load_encoder, load_generator, save_png
    from directions import invert as invert_
    from directions.inversion import save_inversion

    made = load_generator(generator, device=device)
    if search.space is not None:
        made.space(search.space)
    opened = []
    refused: list[LatdirError] = []
    for path in photos:
        try:
            opened.append(framed.open(path, made))
        except LatdirError as error:
            refused.append(error)
    if not opened:
        raise refused[0]
    for problem in refused:
        typer.echo(f"latdir: left out: {in_command(str(problem))}", err=True)
    images = torch.cat([photo.image for photo in opened])
    start = None if search.encoder is None else load_encoder(search.encoder, generator=made)
    found = invert_(
        made, images, space=search.space, solver=search.solver, start=start, seed=seed,
        rendering=Rendering(executor=where.made()),
    )  # fmt: skip
    pairs = torch.stack([images, found.reconstruct()], 1).cpu()
    names = [photo.name for photo in opened]
    save_png(grid(pairs, columns=["photograph", found.space], rows=names, tile=128), out)
    if codes is not None:
        save_inversion(replace(found, names=tuple(names)), codes)
    keys = ("status", "psnr", "typical_psnr", "distance", "start", "steps", "seconds")
    rows = [dict(zip(keys, (row[k] for k in keys), strict=True)) for row in found.table()]
    clean = [{k: None if v != v else v for k, v in row.items()} for row in rows]
    data = {"photographs": [{"name": n, **row} for n, row in zip(names, clean, strict=True)]}
    shown = table(
        f"{out}: {found}",
        ["photograph", "status", "PSNR", "typical", "distance", "steps"],
        [
            [n, r["status"], r["psnr"], "" if r["typical_psnr"] is None else r["typical_psnr"],
             r["distance"], str(r["steps"])]
            for n, r in zip(names, clean, strict=True)
        ],
        note="PSNR in dB; typical: of the best code as near to the prior as the generator's own",
    )  # fmt: skip
    say(data, shown, *(verdict(n, found, i) for i, n in enumerate(names)), as_json=as_json)


def verdict(name: str, found: Inversion, row: int) -> str:
    """One line on what an inversion is worth."""
    status, reached = found.statuses[row], float(found.psnr[row])
    line = f"{name}: {status}, {reached:.1f} dB"
    if status == "out of range":
        typical = float(found.typical_psnr[row])
        generator = found.record["generator"]
        return (
            f"{line} ({typical:.1f} dB with a typical code): {generator} does not make such an "
            "image, and edits hold less"
        )
    return line
