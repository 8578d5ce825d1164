"""The command `latdir teach`: questions as pictures, answers from a table, a bank."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from directions.errors import LatdirError
from latdir.flags import with_flags
from latdir.models import PictureModel
from latdir.options import DeviceName, FeatureNames, GeneratorName, PrecisionName
from latdir.output import Json, say, table

if TYPE_CHECKING:
    from discovery import Lesson

__all__ = ["teach"]


@dataclass(frozen=True)
class Asked:
    """What is asked.

    Attributes:
        strips: Number of strips.
        sheets: Number of sheets.
        features: What makes directions likely beforehand.
        n_codes: Images looked at for that.
        space: Latent space of the codes.
    """

    strips: Annotated[int, typer.Option(help="Strips to ask.", min=0)] = 20
    sheets: Annotated[int, typer.Option(help="Sheets to ask.", min=0)] = 1
    features: FeatureNames = "auto"
    n_codes: Annotated[
        int, typer.Option(help="Images looked at before the first question.", min=2)
    ] = 8192
    space: Annotated[str | None, typer.Option(help="Latent space; by default w, or else z.")] = None


@with_flags
def teach(
    *,
    name: Annotated[str, typer.Argument(help="The attribute, such as glasses.")],
    folder: Annotated[Path, typer.Option(help="Folder of the questions and their answers.")],
    out: Annotated[Path | None, typer.Option(help="Bank file to write.")] = None,
    answers: Annotated[
        Path | None, typer.Option(help="JSON file of the explorer's answers, to go on with.")
    ] = None,
    asked: Asked,
    generator: GeneratorName = "digiface64",
    device: DeviceName = "auto",
    precision: PrecisionName = None,
    as_json: Json = False,
) -> None:
    """Teach a direction by looking: draw questions; run again, read their answers."""
    from discovery import Answers, Lesson, Teach
    from discovery.teaching.folders import TABLE, read_table, write_check, write_questions

    made = PictureModel(device=device, precision=precision).made(generator)
    method = Teach(features=asked.features, n_codes=asked.n_codes)
    given = Answers.of(name, made, space=asked.space) if answers is None else Answers.load(answers)
    if given.name != name:
        raise LatdirError(f"{answers} has answers about {given.name!r}, not about {name!r}")
    lesson = Lesson(given, made, teach=method)
    drawn = write_questions(lesson, folder, strips=asked.strips, sheets=asked.sheets)
    path = folder / TABLE
    left = read_table(lesson, path)
    said = f"Look at the pictures in {folder}, write answers into {path}, and run this again."
    if not lesson.answers.given:
        data = {"folder": str(folder), "drawn": drawn, "unanswered": left}
        say(data, said, as_json=as_json)
        return
    lesson.answers.save(folder / "answers.json")
    figures = _figures(lesson, left) | {"check": str(write_check(lesson, folder))}
    if out is not None:
        bank = method.discover(lesson.answers, generator=made)
        bank.save(out)
        figures |= {"cone_degrees": bank[name].evidence["cone_degrees"], "out": str(out)}
    rows = [[key, value] for key, value in figures.items()]
    say(figures, table(name, ["", ""], rows), said if left else "", as_json=as_json)


def _figures(lesson: Lesson, left: int) -> dict[str, Any]:
    gain = lesson.gain()
    right, shown = lesson.answers.confirmed
    return {
        "clicks": lesson.answers.clicks,
        "strips": len(lesson.answers.strips),
        "sheets": len(lesson.answers.sheets),
        "unanswered": left,
        **({"confirmed": f"{right} of {shown}"} if shown else {}),
        "angle_degrees": lesson.angle,
        "after_20_strips": gain.strips,
        "after_a_sheet": gain.sheet,
    }
