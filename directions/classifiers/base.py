"""The classifier contract: images in, named scores out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_fields, checked_kinds
from directions.devices import Movable
from directions.errors import (
    LatdirError,
    SamplesError,
    UnknownNameError,
    described,
    did_you_mean,
    not_a,
)
from directions.fingerprints import Precision, fingerprint

__all__ = [
    "Attribute",
    "Classifier",
    "Combined",
    "attributes_of",
    "check_classifier",
    "check_finite",
    "check_unique",
    "from_logit",
    "logit",
    "names_of",
]

LOGIT_CLAMP = 1e-6


@checked_fields
@dataclass(frozen=True)
class Attribute:
    """One column of a classifier's scores.

    Attributes:
        name: Short and lower-case, such as `smiling`.
        kind: `probability` in [0, 1], or `value` on an arbitrary scale.
        unit: Unit of a value (`degrees`, `years`); `probability` for probabilities.
        description: One-line description of its computation.
    """

    name: str
    kind: Literal["probability", "value"] = "value"
    unit: str = ""
    description: str = ""

    @classmethod
    def from_argument(cls, value: object, name: str, arguments: object) -> Attribute:
        """The attribute that an argument stands for: a plain name is that of a value.

        Raises:
            LatdirError: Something else.
        """
        if isinstance(value, str):
            return cls(value)
        raise LatdirError(f"{name} is {described(value)}: write Attribute('smiling') or its name")


def attributes_of(given: Any) -> tuple[Attribute, ...]:
    """Attributes given as such or by name, one or several; a plain name is a value.

    Raises:
        LatdirError: Something else.

    Example:
        >>> [a.name for a in attributes_of("redness")], attributes_of(["a"])[0].kind
        (['redness'], 'value')
    """
    several = [given] if isinstance(given, str | Attribute) else given
    if not isinstance(several, Iterable):
        raise LatdirError(
            f"attributes are names or Attribute(…), not a {type(given).__name__}: write "
            "attributes=['smiling', …]"
        )
    try:
        several = list(several)
    except TypeError:
        several = [given]  # an array without axes
    if wrong := [a for a in several if not isinstance(a, str | Attribute)]:
        raise LatdirError(f"attributes are names or Attribute(…), not {wrong[0]!r:.60}")
    return tuple(Attribute(a) if isinstance(a, str) else a for a in several)


def check_unique(names: Sequence[str], who: str) -> None:
    """Refuse names that occur twice.

    Raises:
        LatdirError: One does.
    """
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise LatdirError(f"{who} {twice[0]!r} twice: leave one out")


def names_of(given: Any) -> tuple[str, ...]:
    """Names of attributes, one or several, each once.

    Raises:
        LatdirError: A name that is not text, or one that occurs twice.

    Example:
        >>> names_of("redness")
        ('redness',)
    """
    try:
        names = (given,) if isinstance(given, str) else tuple(given)
    except TypeError:
        names = (given,)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise LatdirError(f"attributes are names such as 'smiling', not {wrong[0]!r:.60}")
    check_unique(names, "attributes has")
    return names


def logit(scores: Float[Tensor, "n k"], attributes: Sequence[Attribute]) -> Float[Tensor, "n k"]:
    """Scores on an unbounded scale: log-odds of probabilities, values unchanged.

    Example:
        >>> logit(torch.tensor([[0.5, 3.0]]), [Attribute("a", "probability"), Attribute("b")])
        tensor([[0., 3.]])
    """
    probability = torch.tensor([a.kind == "probability" for a in attributes], device=scores.device)
    return torch.where(probability, scores.clamp(LOGIT_CLAMP, 1 - LOGIT_CLAMP).logit(), scores)


def from_logit(
    logits: Float[Tensor, "n k"], attributes: Sequence[Attribute]
) -> Float[Tensor, "n k"]:
    """The inverse of `logit`: probabilities of log-odds, values unchanged.

    Example:
        >>> from_logit(torch.tensor([[0.0, 3.0]]), [Attribute("a", "probability"), Attribute("b")])
        tensor([[0.5000, 3.0000]])
    """
    probability = torch.tensor([a.kind == "probability" for a in attributes], device=logits.device)
    return torch.where(probability, logits.sigmoid(), logits)


class Classifier(Movable, ABC):
    """Images `[n, 3, H, W]` in [-1, 1] in, scores `[n, k]` out, one column an attribute.

    Attributes:
        name: Short name, shown and stored.
        attributes: The columns; names differ.
        differentiable: Whether gradients flow from scores to images.
        compiles: Whether `inference` has a compiled form that is faster.
        concurrent: Whether its functions may run in several threads at once, as they may where
            they change nothing; then batches are scored at the same time.
        common_names: Own attribute to the name that other classifiers have for the same, so that
            it can judge beside them.
        teachers: Names of the classifiers whose scores it was trained on; it is not an independent
            judge of those.
    """

    name: str
    attributes: tuple[Attribute, ...]
    differentiable: bool = False
    compiles: bool = False
    concurrent: bool = False
    common_names: Mapping[str, str] = MappingProxyType({})
    teachers: tuple[str, ...] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        """Take arrays for images, in every classifier alike."""
        super().__init_subclass__(**options)
        for name in ("__call__", "logits", "logits_of"):
            if name in vars(cls):
                setattr(cls, name, checked_kinds(vars(cls)[name]))

    @classmethod
    def from_argument(cls, value: object, name: str, arguments: object) -> Classifier:
        """What stands for a classifier in a call: nothing else, and the message says what to do."""
        return check_classifier(value)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """sha256 over weights and configuration."""

    @abstractmethod
    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Scores of images, float32, on the images' device."""

    def logits(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Scores on an unbounded scale: log-odds of probabilities, values unchanged.

        Use these for gradients: probabilities saturate. A network that has exact logits
        overrides this.
        """
        return logit(self(images), self.attributes)

    def logits_of(
        self, images: Float[Tensor, "n c h w"], names: Sequence[str]
    ) -> Float[Tensor, "n k"]:
        """Logits of some attributes, in this order; networks not needed for them may be skipped.

        Raises:
            LatdirError: An attribute it does not have.
        """
        return self.logits(images)[:, self.columns(names)]

    def inference(
        self,
        *,
        precision: Precision = "float32",
        names: Sequence[str] | None = None,
        compile: bool = False,
    ) -> Callable[[Tensor], Tensor]:
        """The same function prepared for speed, without gradients.

        Args:
            precision: `bfloat16` may be taken where there is a faster form whose scores agree.
            names: Attributes wanted, in this order; by default all. Networks that no wanted
                attribute needs are not run.
            compile: Whether a slow start for faster calls of one fixed batch size is welcome; a
                classifier without a compiled form ignores it.
        """
        columns = None if names is None else self.columns(names)

        def run(images: Tensor) -> Tensor:
            with torch.inference_mode():
                scores = self(images)
                if tuple(scores.shape) != (len(images), len(self.attributes)):
                    raise SamplesError(
                        f"{self.name} gave scores of shape {list(scores.shape)}, not "
                        f"{[len(images), len(self.attributes)]}: one row per image, one column "
                        "per attribute"
                    )
                return scores if columns is None else scores[:, columns]

        return run

    def inference_logits(
        self, *, precision: Precision = "float32", names: Sequence[str] | None = None
    ) -> Callable[[Tensor], Tensor]:
        """`logits_of` prepared for speed, without gradients; arguments as of `inference`."""
        wanted = self.names if names is None else names_of(names)
        self.columns(wanted)

        def run(images: Tensor) -> Tensor:
            with torch.inference_mode():
                return self.logits_of(images, wanted)

        return run

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes, in column order."""
        return tuple(a.name for a in self.attributes)

    def columns(self, names: Sequence[str]) -> list[int]:
        """Columns of some attributes; one may be named as such.

        Raises:
            LatdirError: An attribute it does not have, or one named twice.
        """
        names = names_of(names)
        missing = [n for n in names if n not in self.names]
        if missing:
            raise UnknownNameError(
                f"classifier {self.name} has no attribute {missing[0]!r}: "
                f"{did_you_mean(missing[0], self.names)}it has {', '.join(self.names)}"
            )
        return [self.names.index(n) for n in names]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}: {', '.join(self.names)})"


def check_finite(
    scores: Float[Tensor, "n k"],
    *,
    names: Sequence[str],
    classifier: str,
    first: int = 0,
    seed: int | None = None,
) -> None:
    """Refuse scores that are NaN or infinite.

    Args:
        scores: `[n, k]`.
        names: Names of the columns.
        classifier: Name of the classifier that gave them.
        first: Index of the first row.
        seed: Seed of the codes of the rows, if they are codes of a seed.

    Raises:
        SamplesError: One is not finite; the message names the attribute and the first row.

    Example:
        >>> check_finite(torch.tensor([[0.5], [torch.nan]]), names=["age"], classifier="faces")
        Traceback (most recent call last):
        ...
        directions.errors.SamplesError: 1 of 2 scores of 'age' are NaN or infinite (nan in row 1):
        fix the classifier faces, or leave that attribute out
    """
    bad = ~torch.isfinite(scores)
    if not bad.any():
        return
    column = int(bad.any(0).nonzero()[0])
    row = int(bad[:, column].nonzero()[0])
    where = f"row {first + row}" if seed is None else f"code {first + row} of seed {seed}"
    raise SamplesError(
        f"{int(bad[:, column].sum())} of {len(scores)} scores of {names[column]!r} are NaN or "
        f"infinite ({float(scores[row, column])} in {where}): "
        f"fix the classifier {classifier}, or leave that attribute out"
    )


class Combined(Classifier):
    """Several classifiers side by side, their columns in order.

    Args:
        *classifiers: At least one; attribute names must differ.

    Raises:
        LatdirError: Two of them offer an attribute of the same name.
    """

    def __init__(self, *classifiers: Classifier) -> None:
        if not classifiers:
            raise LatdirError("give at least one classifier")
        for part in classifiers:
            check_classifier(part)
        self.parts = classifiers
        self.name = "+".join(c.name for c in classifiers)
        self.attributes = tuple(a for c in classifiers for a in c.attributes)
        self.differentiable = all(c.differentiable for c in classifiers)
        self.compiles = any(c.compiles for c in classifiers)
        self.concurrent = all(c.concurrent for c in classifiers)
        self.common_names = {a: n for c in classifiers for a, n in c.common_names.items()}
        twice = sorted({n for n in self.names if self.names.count(n) > 1})
        if twice:
            raise LatdirError(
                f"two classifiers offer {', '.join(twice)}: rename one's with "
                "directions.classifiers.Renamed, or leave one out"
            )

    @property
    def fingerprint(self) -> str:
        """sha256 over the parts' fingerprints; a single part's is its own."""
        if len(self.parts) == 1:
            return self.parts[0].fingerprint
        return fingerprint({}, {"parts": [p.fingerprint for p in self.parts]})

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """The parts' scores, side by side."""
        return torch.cat([part(images) for part in self.parts], 1)

    def logits(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """The parts' logits, side by side."""
        return torch.cat([part.logits(images) for part in self.parts], 1)

    def logits_of(
        self, images: Float[Tensor, "n c h w"], names: Sequence[str]
    ) -> Float[Tensor, "n k"]:
        """Logits of some attributes; classifiers not needed for them are skipped."""
        return self._beside(names, lambda part, mine: partial(part.logits_of, names=mine))(images)

    def inference(
        self,
        *,
        precision: Precision = "float32",
        names: Sequence[str] | None = None,
        compile: bool = False,
    ) -> Callable[[Tensor], Tensor]:
        """The parts' fast forms, side by side; parts that no wanted attribute needs rest."""
        return self._beside(
            names,
            lambda part, mine: part.inference(precision=precision, names=mine, compile=compile),
        )

    def inference_logits(
        self, *, precision: Precision = "float32", names: Sequence[str] | None = None
    ) -> Callable[[Tensor], Tensor]:
        """As `inference`, of the parts' logits."""
        return self._beside(
            names, lambda part, mine: part.inference_logits(precision=precision, names=mine)
        )

    def _beside(
        self,
        names: Sequence[str] | None,
        reader: Callable[[Classifier, list[str]], Callable[[Tensor], Tensor]],
    ) -> Callable[[Tensor], Tensor]:
        """What the parts read of images, side by side, in the order of the names."""
        wanted = list(self.names if names is None else names)
        self.columns(wanted)
        runs, made = [], []
        for part in self.parts:
            mine = [n for n in wanted if n in part.names]
            if mine:
                runs.append(reader(part, mine))
                made += mine
        order = [made.index(n) for n in wanted]
        return lambda images: torch.cat([run(images) for run in runs], 1)[:, order]


def check_classifier(value: object) -> Classifier:
    """Return `value` if it is a classifier.

    Raises:
        LatdirError: Something else; the message says how to make a classifier of it.

    Example:
        >>> check_classifier("faces+pixels")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: classifier is 'faces+pixels', not a classifier: write
        directions.load_classifier('faces+pixels')
    """
    if isinstance(value, Classifier):
        return value
    wrap = "directions.wrap_classifier(…, attributes=[…])"
    raise not_a("classifier", value, load="directions.load_classifier", wrap=wrap)
