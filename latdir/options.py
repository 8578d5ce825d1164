"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_type_hints

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
    "BankModel",
    "BankModels",
    "ClassifierName",
    "DeviceName",
    "FeatureNames",
    "Flags",
    "GeneratorName",
    "JudgedModels",
    "Models",
    "OwnGenerator",
    "PictureModel",
    "PrecisionName",
    "Seed",
    "attributes_of",
    "flags_of",
    "left_out",
    "number",
    "rendering_of",
    "split_names",
    "with_flags",
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


@dataclass(frozen=True)
class BankModel:
    """The generator of a bank file, and where it runs.

    Attributes:
        generator: Its name; by default the one the bank names.
        device: Where it runs.
    """

    generator: OwnGenerator = None
    device: DeviceName = "auto"

    def open(self, path: Path) -> tuple[DirectionBank, Generator]:
        """A bank file and the generator it belongs to.

        Raises:
            BankError: An empty bank, or one of another generator.
        """
        from directions import DirectionBank, load_generator

        bank = DirectionBank.load(path)
        if not len(bank):
            raise BankError(f"{path} holds no directions")
        generator = load_generator(self.generator or _owner(bank, path), device=self.device)
        return bank, bank.widened(generator)


@dataclass(frozen=True)
class PictureModel(BankModel):
    """The generator of a bank file, where it runs, and in which arithmetic it draws.

    Attributes:
        precision: Of the generator.
    """

    precision: PrecisionName = None

    def open(self, path: Path) -> tuple[DirectionBank, Generator]:
        """A bank file and the generator it belongs to; errors as of `BankModel`."""
        bank, generator = super().open(path)
        return bank, self.at(generator)

    def made(self, name: str) -> Generator:
        """The generator of `--generator`, or else that of a name."""
        from directions import load_generator

        return self.at(load_generator(self.generator or name, device=self.device))

    def at(self, generator: Generator) -> Generator:
        """The generator in the precision; errors as `rendering_of`."""
        import torch

        wanted = rendering_of(self.precision).precision
        if wanted is None:
            return generator
        made: Generator = generator.to(dtype=getattr(torch, wanted))
        return made


@dataclass(frozen=True)
class BankModels(BankModel):
    """The generator of a bank file and a classifier.

    Attributes:
        classifier: Its name.
        precision: Of both; by default measured.
    """

    classifier: ClassifierName = "faces+pixels"
    precision: PrecisionName = None

    def scorer(self) -> Classifier:
        """The classifier, loaded."""
        from directions.classifiers import load_classifier

        return load_classifier(self.classifier, device=self.device)

    def rendering(self, **given: Any) -> Rendering:
        """Rendering options of the precision, and others; errors as `rendering_of`."""
        return rendering_of(self.precision, **given)


@dataclass(frozen=True)
class JudgedModels(BankModels):
    """The generator of a bank file, a classifier, and a second one beside it.

    Attributes:
        judge: Name of the second classifier, if there is one.
        judge_names: Its attributes under the first's names, pairs `old=new` with commas.
    """

    judge: JudgeName = None
    judge_names: JudgeNames = None

    def second(self) -> Classifier | None:
        """The second classifier, its attributes renamed; None where there is none.

        Raises:
            LatdirError: An unknown classifier or attribute, names without a judge, or no pairs.
        """
        from directions.classifiers import Renamed, load_classifier

        names = self.judge_names
        if self.judge is None:
            if names is not None:
                raise LatdirError(f"--judge-names {names} needs a judge: give --judge NAME too")
            return None
        judge = load_classifier(self.judge, device=self.device)
        if names is None:
            return judge
        pairs = [part.partition("=") for part in split_names(names) or []]
        if wrong := ["".join(pair) for pair in pairs if not all(pair)]:
            raise LatdirError(f"--judge-names takes old=new pairs, not {wrong[0]!r}")
        return Renamed(judge, {old.strip(): new.strip() for old, _, new in pairs})


@dataclass(frozen=True)
class Models(BankModels):
    """A generator and a classifier, without a bank.

    Attributes:
        generator: Its name.
    """

    generator: GeneratorName = "digiface64"

    def made(self) -> Generator:
        """The generator, loaded."""
        from directions.generators import load_generator

        return load_generator(self.generator, device=self.device)


@dataclass(frozen=True)
class Flags:
    """Flags whose values a command takes as one mapping: `Annotated[Mapping[…], Flags(…)]`.

    Attributes:
        of: The flags.
    """

    of: tuple[inspect.Parameter, ...]


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with a flag for each field of its parameters that are options objects.

    Args:
        command: Its parameters are flags, frozen dataclasses whose fields are flags, or mappings
            of `Flags`.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    groups = {p.name: group for p in own if (group := _group(p.annotation)) is not None}
    listed = [flag for p in own for flag in (groups[p.name][0] if p.name in groups else [p])]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        made = {
            name: build(**{flag.name: given.pop(flag.name) for flag in flags})
            for name, (flags, build) in groups.items()
        }
        command(**given, **made)

    flags = [flag.replace(kind=inspect.Parameter.KEYWORD_ONLY) for flag in listed]
    run.__dict__["__signature__"] = inspect.Signature(flags)
    run.__annotations__ = {flag.name: flag.annotation for flag in flags}
    return run


def _group(annotation: Any) -> tuple[Sequence[inspect.Parameter], Callable[..., Any]] | None:
    """The flags of an options object, and what makes it of them; None for a flag."""
    for mark in getattr(annotation, "__metadata__", ()):
        if isinstance(mark, Flags):
            return mark.of, dict
    if not is_dataclass(annotation):
        return None
    return flags_of(annotation), cast("Callable[..., Any]", annotation)


def flags_of(options: Any) -> list[inspect.Parameter]:
    """A flag for each field of an options object."""
    hints = get_type_hints(options, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(options)
    ]


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
