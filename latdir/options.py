"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from directions import BankError, DirectionBank
from directions.generators import Generator, load_generator

__all__ = [
    "BankFile",
    "ClassifierName",
    "GeneratorName",
    "OwnGenerator",
    "Seed",
    "bank_and_generator",
]

GeneratorName = Annotated[
    str, typer.Option("--generator", help="Name, path of a checkpoint, or module:function.")
]
OwnGenerator = Annotated[
    str | None,
    typer.Option("--generator", help="By default the one the bank names."),
]
ClassifierName = Annotated[
    str, typer.Option("--classifier", help="Names joined by +, or module:function.")
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
    bank = DirectionBank.load(path)
    if not len(bank):
        raise BankError(f"{path} holds no directions")
    generator = load_generator(name or bank.generator)
    return bank.check(generator), generator
