"""Samples: codes, their scores, and their provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from directions.classifiers.base import Attribute, check_finite
from directions.errors import LatdirError, SamplesError, UnknownNameError
from directions.scoring.rendering import Rendering
from directions.space import Prior
from discovery.sampling.prior_file import read_prior, write_prior
from discovery.sampling.shard_format import (
    MANIFEST,
    ROWS,
    AttributeEntry,
    Header,
    Settings,
    Source,
)
from discovery.sampling.store import Rows, opened, read

__all__ = ["Samples", "check_unique", "numbers"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Codes of one latent space with the scores of the images they make.

    Codes and scores may be given as NumPy arrays or lists, scores of one attribute as `[n]`, and
    attributes by their names. `from_arrays` and `from_frame` make samples of your own labels.

    Attributes:
        codes: `[n, *shape]`, float32.
        scores: `[n, k]`, float32; column j belongs to `attributes[j]`.
        attributes: The columns; their names differ.
        space: Name of the codes' space.
        generator: Name of the generator.
        fingerprint: Its sha256.
        classifier: Name of the classifier.
        classifier_fingerprint: Its sha256.
        seed: Seed the codes were drawn with; None where they are of no seed, or of several.
        start: Index of the first code in that seed's sequence.
        rendering: How their images were made and scored; open where that is not known.
        notes: Remarks on the sampling, such as how an adaptive run chose its n.
        index: `[n]`, place of each row in the seed's sequence, where the rows are not those from
            `start` on; None where they are.
        prior: Mean and covariance of the distribution the codes were drawn from; None where it
            is not known, and then that of the codes themselves stands for it.
        prior_source: Whether `prior` comes from the generator or was estimated from the codes.

    Raises:
        LatdirError: Shapes that do not agree, two attributes of one name, or scores that are not
            finite.

    Example:
        >>> samples = Samples(torch.eye(2), torch.tensor([[0.0], [1.0]]), (Attribute("glasses"),),
        ...                   "z", "toy", "0" * 64, "me", "0" * 64, seed=0)
        >>> samples.names, samples.column("glasses")
        (('glasses',), tensor([0., 1.]))
    """

    codes: Float[Tensor, "n ..."]
    scores: Float[Tensor, "n k"]
    attributes: tuple[Attribute, ...]
    space: str
    generator: str
    fingerprint: str
    classifier: str
    classifier_fingerprint: str
    seed: int | None
    start: int = 0
    rendering: Rendering = Rendering()
    notes: Mapping[str, Any] = field(default_factory=dict)
    index: Int[Tensor, "n"] | None = None
    prior: Prior | None = None
    prior_source: Source = "generator"

    def __post_init__(self) -> None:
        codes, scores = numbers(self.codes, "codes"), numbers(self.scores, "scores")
        scores = scores[:, None] if scores.ndim == 1 else scores
        attributes = _attributes(self.attributes)
        if not codes.ndim or scores.ndim != 2 or len(codes) != len(scores):
            raise SamplesError(
                f"codes of shape {list(codes.shape)} and scores of shape {list(scores.shape)} do "
                "not belong together: give codes [n, …] and scores [n, attributes]"
            )
        if scores.shape[1] != len(attributes):
            raise SamplesError(
                f"scores of shape {list(scores.shape)} have {scores.shape[1]} columns, and there "
                f"are {len(attributes)} attributes: give one name for each column"
            )
        for name, value in (("codes", codes), ("scores", scores), ("attributes", attributes)):
            object.__setattr__(self, name, value)
        check_unique(self.names, "samples have")
        check_finite(self.scores, names=self.names, classifier=self.classifier)
        if self.index is not None:
            self._place(self.index)

    def _place(self, index: Tensor) -> None:
        """Keep the places of rows that are none of a run of the sequence."""
        if self.seed is None or index.shape != (len(self),) or (index < 0).any():
            raise SamplesError(
                f"index has shape {list(index.shape)}: give the place of each of the {len(self)} "
                "rows, 0 or more, in the sequence of one seed"
            )
        first = int(index.min()) if len(index) else self.start
        run = torch.equal(index, torch.arange(first, first + len(index)).to(index))
        object.__setattr__(self, "index", None if run else index.long().cpu())
        object.__setattr__(self, "start", first)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def truncation(self) -> float:
        """ψ that the codes were drawn with."""
        return self.rendering.psi

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes, in column order."""
        return tuple(a.name for a in self.attributes)

    @property
    def places(self) -> Int[Tensor, "n"]:
        """Place of each row in the seed's sequence."""
        if self.index is not None:
            return self.index
        return torch.arange(self.start, self.start + len(self))

    @property
    def stop(self) -> int:
        """The first place in the seed's sequence after all rows."""
        return int(self.places.max()) + 1 if len(self) else self.start

    @cached_property
    def population(self) -> Prior:
        """Distribution of the codes: `prior`, or else an estimate from the codes.

        Raises:
            LatdirError: It is not known, and fewer than two codes.
        """
        return self.prior or Prior.fit(self.codes.cpu())

    def column(self, name: str) -> Float[Tensor, "n"]:
        """Scores of one attribute.

        Raises:
            LatdirError: No attribute of that name.
        """
        if name not in self.names:
            raise UnknownNameError(
                f"these samples have no attribute {name!r}: they have {', '.join(self.names)}"
            )
        return self.scores[:, self.names.index(name)]

    def rows(self, rows: slice | Sequence[int] | Tensor) -> Samples:
        """The samples of some rows, which keep their places in the seed's sequence.

        They keep the distribution of the codes too; where it is not known, an estimate from all
        of these.

        Example:
            >>> samples = Samples(torch.randn(9, 2), torch.rand(9, 1), (Attribute("a"),), "z",
            ...                   "toy", "0" * 64, "me", "0" * 64, seed=0)
            >>> samples.rows(slice(3, 6)).start, samples.rows([8, 2]).index
            (3, tensor([8, 2]))
        """
        known = self.prior is not None or len(self) < 2
        return replace(
            self,
            codes=self.codes[rows],
            scores=self.scores[rows],
            index=None if self.seed is None else self.places[rows],
            prior=self.prior if known else self.population,
            prior_source=self.prior_source if known else "samples",
        )

    def save(self, folder: str | Path) -> Path:
        """Write the samples to a folder that holds none yet, as Parquet shards and a manifest.

        Raises:
            LatdirError: The folder holds samples, or cannot be written.
        """
        path = Path(folder)
        if (path / MANIFEST).exists():
            raise SamplesError(f"{path} holds samples already: choose another folder")
        with opened(path, self._header()) as store:
            store.describe()
            for i in range(math.ceil(len(self) / ROWS)):
                rows = slice(i * ROWS, (i + 1) * ROWS)
                store.put(i, self.codes[rows].cpu(), self.scores[rows].cpu(), self.places[rows])
            if self.prior is not None:
                write_prior(path, self.prior)
        return path

    @classmethod
    def load(cls, folder: str | Path, *, partial: bool = False) -> Samples:
        """Samples of a folder, every shard verified by its checksum.

        Args:
            folder: Written by `discovery.sample(…, out=folder)` or `save`.
            partial: Load the finished part of a run, instead of refusing.

        Raises:
            LatdirError: No samples there, an unfinished run, or a broken shard or manifest.
        """
        header, rows, index = read(folder, partial=partial)
        prior = read_prior(Path(folder), size=math.prod(header.shape))
        return cls.of(header, rows, prior=prior, index=index)

    @classmethod
    def of(
        cls, header: Header, rows: Rows, *, prior: Prior | None, index: Tensor | None = None
    ) -> Samples:
        """Rows of a store as samples.

        Args:
            header: Their manifest.
            rows: Codes and scores.
            prior: Distribution of the codes, where it is known.
            index: Places of the rows in the seed's sequence, if they are not consecutive.
        """
        return cls(
            *rows,
            attributes=tuple(Attribute(**dict(a)) for a in header.attributes),
            space=header.space,
            generator=header.generator,
            fingerprint=header.fingerprint,
            classifier=header.classifier,
            classifier_fingerprint=header.classifier_fingerprint,
            seed=header.seed,
            start=header.start,
            rendering=header.rendering,
            notes=header.notes,
            index=index,
            prior=prior,
            prior_source=header.prior_source,
        )

    def _header(self) -> Header:
        return Header(
            generator=self.generator,
            fingerprint=self.fingerprint,
            classifier=self.classifier,
            classifier_fingerprint=self.classifier_fingerprint,
            attributes=tuple(AttributeEntry(**asdict(a)) for a in self.attributes),
            space=self.space,
            shape=tuple(self.codes.shape[1:]),
            seed=self.seed,
            start=self.start,
            consecutive=self.index is None,
            prior_source=self.prior_source,
            truncation=self.truncation,
            wanted=len(self),
            settings=Settings.of(self.rendering),
            notes=dict(self.notes),
        )


def numbers(value: Any, what: str) -> Tensor:
    """A floating-point tensor of numbers in any array, nested list or frame.

    Raises:
        SamplesError: It holds something else, or rows of different lengths.

    Example:
        >>> numbers([True, False], "labels")
        tensor([1., 0.])
    """
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else value.float()
    try:
        return torch.from_numpy(np.array(value, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise SamplesError(
            f"{what} are numbers in an array or a list, not {type(value).__name__} ({error})"
        ) from None


def check_unique(names: Sequence[str], who: str) -> None:
    """Refuse names that occur twice.

    Raises:
        LatdirError: One does.
    """
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise LatdirError(f"{who} attribute {twice[0]!r} twice: leave one out, or rename it")


def _attributes(given: Any) -> tuple[Attribute, ...]:
    """Attributes given as such or by name, one or several."""
    several = (given,) if isinstance(given, str | Attribute) else tuple(given)
    if wrong := [a for a in several if not isinstance(a, str | Attribute)]:
        raise SamplesError(f"attributes are names or Attribute(…), not {wrong[0]!r}")
    return tuple(Attribute(a) if isinstance(a, str) else a for a in several)
