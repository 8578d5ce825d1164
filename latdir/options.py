"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from directions.errors import BankError, LatdirError

if TYPE_CHECKING:
    from directions import DirectionBank, Rendering
    from directions.classifiers.base import Classifier
    from directions.fingerprints import Precision
    from directions.generators import Generator

__all__ = [
    "AttributeNames",
    "BankFile",
    "ClassifierName",
    "DeviceName",
    "GeneratorName",
    "OwnGenerator",
    "PrecisionName",
    "Seed",
    "attributes_of",
    "bank_and_generator",
    "left_out",
    "number",
    "rendering_of",
    "split_names",
]

GeneratorName = Annotated[
    str,
    typer.Option(
        "--generator", help="Name, path of a checkpoint, module:function, or file.py:function."
    ),
]
OwnGenerator = Annotated[
    str | None,
    typer.Option("--generator", help="As for `sample`; by default the one the bank names."),
]
ClassifierName = Annotated[
    str,
    typer.Option("--classifier", help="Names joined by +, module:function, or file.py:function."),
]
AttributeNames = Annotated[
    str | None,
    typer.Option(
        "--attributes", help="Names with commas, or all; by default those the bank is about."
    ),
]
DeviceName = Annotated[
    str,
    typer.Option(
        "--device", help="auto (a CUDA card, otherwise the CPU), cpu, cuda, cuda:1 or mps."
    ),
]
PrecisionName = Annotated[
    str | None,
    typer.Option(
        "--precision", help="float32 or bfloat16; by default chosen by a measurement on long runs."
    ),
]
BankFile = Annotated[Path, typer.Argument(help="Bank file.")]
Seed = Annotated[int, typer.Option(help="Seed of the codes.")]


def bank_and_generator(
    path: Path, name: str | None, *, device: str = "cpu"
) -> tuple[DirectionBank, Generator]:
    """A bank file and the generator it belongs to.

    Args:
        path: The bank file.
        name: Name of the generator; by default the one the bank names.
        device: Where the generator runs.

    Raises:
        BankError: An empty bank, or one of another generator.
    """
    from directions import DirectionBank, load_generator

    bank = DirectionBank.load(path)
    if not len(bank):
        raise BankError(f"{path} holds no directions")
    generator = load_generator(name or _owner(bank, path), device=device)
    return bank.check(generator), generator


def _owner(bank: DirectionBank, path: Path) -> str:
    """What a bank's generator is loaded by: its name, or a file of that name beside the bank."""
    from directions.generators import SUFFIXES, available_generators

    if bank.generator in available_generators():
        return bank.generator
    stem, mark, options = bank.generator.partition("?")
    for folder in (Path(), path.parent):
        for file in (folder / f"{stem}{suffix}" for suffix in ("", *SUFFIXES)):
            if file.exists() and file != path:
                return f"{file}{mark}{options}"
    raise BankError(
        f"{path} belongs to {bank.generator!r}, which is not built in: name the path of the "
        "checkpoint, module:function or file.py:function with --generator"
    )


def attributes_of(
    text: str | None, bank: DirectionBank, classifier: Classifier
) -> tuple[list[str], list[str]]:
    """The attributes to measure by `--attributes`, and those left out without being asked for.

    Args:
        text: What the flag was given; None where it was left out.
        bank: The bank to measure.
        classifier: Scores the images.
    """
    from analysis.edits.targets import attributes_about

    names = list(classifier.names)
    if text == "all":
        return names, []
    if (given := split_names(text)) is not None:
        return given, []
    about = attributes_about(bank, names)
    return about, [name for name in names if name not in about]


def left_out(names: list[str]) -> str:
    """The line that says which attributes were not measured; empty where there are none."""
    if not names:
        return ""
    return f"Not measured, as the bank is not about them: {', '.join(names)} (--attributes all)"


def rendering_of(precision: str | None, **given: Any) -> Rendering:
    """Rendering options of the flag `--precision`, and others.

    Raises:
        LatdirError: An unknown precision.
    """
    from directions import Rendering

    return Rendering(precision=cast("Precision | None", precision), **given)


def split_names(text: str | None) -> list[str] | None:
    """Names with commas between; None where the flag was left out."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def number(text: str, flag: str) -> float:
    """The number that a flag was given.

    Raises:
        LatdirError: No number.
    """
    try:
        return float(text)
    except ValueError:
        raise LatdirError(f"{flag} takes numbers, not {text!r}") from None
