"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from directions.errors import BankError, LatdirError

if TYPE_CHECKING:
    from directions import DirectionBank
    from directions.classifiers.base import Classifier
    from directions.generators import Generator

__all__ = [
    "AttributeNames",
    "BankFile",
    "ClassifierName",
    "GeneratorName",
    "OwnGenerator",
    "Seed",
    "attributes_of",
    "bank_and_generator",
    "left_out",
    "number",
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
BankFile = Annotated[Path, typer.Argument(help="Bank file.")]
Seed = Annotated[int, typer.Option(help="Seed of the codes.")]


def bank_and_generator(path: Path, name: str | None) -> tuple[DirectionBank, Generator]:
    """A bank file and the generator it belongs to.

    Args:
        path: The bank file.
        name: Name of the generator; by default the one the bank names.

    Raises:
        BankError: An empty bank, or one of another generator.
    """
    from directions import DirectionBank, load_generator

    bank = DirectionBank.load(path)
    if not len(bank):
        raise BankError(f"{path} holds no directions")
    generator = load_generator(name or _owner(bank, path))
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
