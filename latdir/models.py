"""Options objects of the models that commands load: generator, classifier, judge, device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directions.errors import BankError, LatdirError
from latdir.options import (
    ClassifierName,
    DeviceName,
    GeneratorName,
    JudgeName,
    JudgeNames,
    OwnGenerator,
    PrecisionName,
    rendering_of,
    split_names,
)  # fmt: skip

if TYPE_CHECKING:
    from directions import DirectionBank, Rendering
    from directions.classifiers.base import Classifier
    from directions.generators import Generator

__all__ = ["BankModel", "BankModels", "JudgedModels", "Models", "PictureModel"]


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
