"""Flags that several commands share, and the values that they are given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from directions.errors import LatdirError

if TYPE_CHECKING:
    from directions import DirectionBank, Rendering
    from directions.classifiers.base import Classifier
    from directions.fingerprints import Precision

__all__ = [
    "AttributeNames", "BankFile", "ClassifierName", "DeviceName", "FeatureNames", "GeneratorName",
    "JudgeName", "JudgeNames", "OwnGenerator", "PrecisionName", "Seed", "attributes_of",
    "left_out", "number", "rendering_of", "split_names",
]  # fmt: skip

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
FeatureNames = Annotated[
    Literal["auto", "faces", "clip", "pixels", "none"],
    typer.Option("--features", help="What makes taught directions likely beforehand."),
]
JudgeName = Annotated[
    str | None,
    typer.Option(
        "--judge",
        help="A second classifier, by which nothing was found, to judge the same images.",
    ),
]
JudgeNames = Annotated[
    str | None,
    typer.Option(
        "--judge-names",
        help="Its attributes under the names of the first's, such as happy=smiling,old=age.",
    ),
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
