"""Samples: codes, their scores, and their provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from directions.arguments import checked, checked_fields
from directions.classifiers.base import (
    Attribute,
    Classifier,
    attributes_of,
    check_finite,
    check_unique,
)
from directions.errors import SamplesError, UnknownNameError
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering
from directions.space import Prior
from directions.table import frame, html_table
from discovery.decomposition.covariance import StreamingCovariance
from discovery.estimators.chunks import Chunks, InMemory
from discovery.sampling.arrays import numbers
from discovery.sampling.own_images import check_made, scored_images
from discovery.sampling.own_labels import OwnLabels, of_arrays, of_frame
from discovery.sampling.places import place_of
from discovery.sampling.prior_file import read_prior, write_prior
from discovery.sampling.shard_format import (
    MANIFEST,
    ROWS,
    AttributeEntry,
    Header,
    Settings,
    Source,
)
from discovery.sampling.store import Rows, opened, read, read_lazily
from discovery.sampling.stored import StoredRows

__all__ = ["Samples"]


@checked_fields
@dataclass(frozen=True, eq=False)
class Samples:
    """Codes of one latent space with the scores of the images they make.

    Codes and scores may be given as NumPy arrays or lists, scores of one attribute as `[n]`, and
    attributes by their names. `from_arrays` and `from_frame` make samples of your own labels,
    `from_images` of images made before.

    Those of a folder (`open`, and `sample` with `out=`) hold no rows: `codes` and `scores` are read
    when they are asked for (up to 256 MB of codes are then kept), `chunks` reads some shards at a
    time, and estimators that take few passes work on any number of rows.

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
        attributes = attributes_of(self.attributes)
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
        check_unique(self.names, "samples have attribute")
        if not (finite := torch.isfinite(codes)).all():
            raise SamplesError(
                f"{int((~finite.flatten(1).all(1)).sum())} of {len(codes)} codes are NaN or "
                "infinite: leave them out"
            )
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
        return len(self.codes) if self._stored is None else self._stored.count

    _stored: ClassVar[StoredRows | None] = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Tensor:
            """Codes and scores of a folder, which its samples do not hold."""
            if name not in ("codes", "scores") or self._stored is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return self._stored.codes() if name == "codes" else self._stored.scores()

    def chunks(self) -> Chunks:
        """Flat codes, some rows at a time; those of a folder are read anew at each pass.

        Example:
            >>> samples = Samples(torch.eye(2), torch.eye(2)[:, :1], (Attribute("a"),), "z", "toy",
            ...                   "0" * 64, "me", "0" * 64, seed=0)
            >>> for first, codes in samples.chunks():
            ...     print(first, codes.shape)
            0 torch.Size([2, 2])
        """
        return InMemory(self.codes.flatten(1)) if self._stored is None else self._stored

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one code."""
        stored = self._stored
        return tuple(self.codes.shape[1:]) if stored is None else stored.header.shape

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
        if self.prior is None and self._stored is not None and len(self) > self._stored.size:
            seen = StreamingCovariance(self._stored.size)
            for _, codes in self._stored:
                seen.add(codes)
            return Prior(seen.mean.float(), seen.covariance().float())
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
        if self._stored is not None:
            return self._stored.scores([name])[:, 0]
        return self.scores[:, self.names.index(name)]

    @checked
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
        try:
            places = torch.arange(len(self))[rows]
        except (IndexError, TypeError, RuntimeError) as error:
            raise SamplesError(
                f"rows are a slice, numbers below {len(self)} or a mask, not {rows!r:.60}"
            ) from error
        places = places.reshape(-1)
        whole = self._stored is None
        return replace(
            self,
            codes=self.codes[places] if whole else self._stored_codes(places),
            scores=self.scores[places],
            index=None if self.seed is None else self.places[places],
            prior=self.prior if known else self.population,
            prior_source=self.prior_source if known else "samples",
        )

    def _stored_codes(self, places: Tensor) -> Tensor:
        """Codes of some rows of a folder, in any order; shards without any are not read."""
        assert self._stored is not None
        chosen = torch.zeros(len(self), dtype=torch.bool)
        chosen[places] = True
        at = chosen.long().cumsum(0)[places] - 1
        return self._stored.take(chosen)[at].reshape(len(places), *self.shape)

    @classmethod
    @checked
    def from_arrays(
        cls,
        codes: Any,
        scores: Any,
        names: Any,
        *,
        generator: Generator,
        space: str | None = None,
        seed: int | None = None,
        index: Any = None,
        truncation: float = 1.0,
    ) -> Samples:
        """Samples of your own labels, of codes or of places in a seed's sequence.

        Args:
            codes: `[n, *shape]`, NumPy, torch or nested lists; None with a `seed`.
            scores: `[n]` or `[n, k]`: 0 and 1, ranks, or values; higher is more.
            names: Name of the attribute, or one for each column; `Attribute(…)` with a unit.
            generator: Made the images that were labeled.
            space: Space of the codes; by default the generator's first.
            seed: Draws the codes, where none are given.
            index: `[n]`, their places in the seed's sequence; by default 0 … n - 1.
            truncation: ψ that the codes were drawn with.

        Raises:
            LatdirError: Codes of another space, both codes and seed or neither, or scores that
                are no numbers or do not fit.

        Example:
            >>> from directions.planted.world import planted
            >>> world = planted(factors=2, dim=8)
            >>> labels = (world.factors(world.sample(60, seed=0))[:, 0] > 0).tolist()
            >>> samples = Samples.from_arrays(None, labels, "smile", generator=world, seed=0)
            >>> samples.codes.shape, samples.attributes[0].kind
            (torch.Size([60, 8]), 'probability')
        """
        found = of_arrays(
            codes,
            scores,
            names,
            generator=generator,
            space=space,
            seeds=seed,
            index=index,
            truncation=truncation,
        )
        return cls._of_own(found, generator, truncation)

    @classmethod
    @checked
    def from_frame(
        cls,
        frame: Any,
        *,
        generator: Generator,
        names: Sequence[str] | None = None,
        space: str | None = None,
        seed: int | None = None,
        truncation: float = 1.0,
    ) -> Samples:
        """Samples of a table of labels.

        Its columns `seed` and `index` say which codes, or `code` (arrays) or `code_0`, `code_1`,
        … are the codes themselves; the others are labels, without a leading `score.` of theirs.

        Args:
            frame: A pandas, polars or Arrow table, a mapping of names to columns, or the path of a
                CSV or Parquet file.
            generator: Made the images that were labeled.
            names: Columns of labels wanted; by default all others.
            space: Space of the codes; by default the generator's first.
            seed: Seed of the codes, where there is no column of it.
            truncation: ψ that the codes were drawn with.

        Raises:
            LatdirError: No codes and no seed, no labels, or a column that holds no numbers.

        Example:
            >>> from directions.planted.world import planted
            >>> frame = {"seed": [0, 0, 0], "index": [4, 8, 1], "glasses": [1, 0, 0]}
            >>> Samples.from_frame(frame, generator=planted()).places
            tensor([4, 8, 1])
        """
        found = of_frame(
            frame, generator=generator, names=names, space=space, seed=seed, truncation=truncation
        )
        return cls._of_own(found, generator, truncation)

    @classmethod
    @checked
    def from_images(
        cls,
        images: Any,
        classifier: Classifier,
        *,
        generator: Generator,
        codes: Any = None,
        space: str | None = None,
        seed: int | None = None,
        index: Any = None,
        truncation: float = 1.0,
    ) -> Samples:
        """Samples of images that were made before, with their seed or codes.

        Args:
            images: Tensor or array `[n, 3, H, W]` in [-1, 1], or files, a folder or pictures as
                `directions.open_images` takes them.
            classifier: Scores them.
            generator: Made them.
            codes: As of `from_arrays`, as are the rest.
            space: Space of the codes.
            seed: Of the codes, where none are given.
            index: `[n]`, places in the seed's sequence.
            truncation: ψ that the codes were drawn with.

        Raises:
            LatdirError: As of `from_arrays`; or the images are not those of the codes.

        Example:
            >>> from directions.planted.world import planted
            >>> world = planted(factors=2, dim=8)
            >>> images = world.synthesize(world.sample(30, seed=0))
            >>> Samples.from_images(images, world.classifier(), generator=world, seed=0)
            Samples(planted: 30 codes of 'z', factor_0, factor_1)
        """
        shown, scores = scored_images(images, classifier, generator)
        found = of_arrays(
            codes,
            scores,
            classifier.attributes,
            generator=generator,
            space=space,
            seeds=seed,
            index=index,
            truncation=truncation,
        )
        check_made(shown, found, generator)
        own = cls._of_own(found, generator, truncation)
        return replace(
            own, classifier=classifier.name, classifier_fingerprint=classifier.fingerprint
        )

    @classmethod
    def _of_own(cls, found: OwnLabels, generator: Generator, truncation: float) -> Samples:
        names = [a.name for a in found.attributes]
        return cls(
            *found[:4],
            generator.name,
            generator.fingerprint,
            "own labels",
            fingerprint({"labels": found.labels}, {"names": names}),
            seed=found.seed,
            index=found.places,
            rendering=Rendering(truncation=truncation),
            prior=generator.truncated_prior(found.space, truncation),
        )

    def columns(self) -> dict[str, list[Any]]:
        """The labels by column; `seed` and `index` where codes are of a seed tell which codes."""
        found: dict[str, list[Any]] = {}
        if self.seed is not None:
            found = {"seed": [self.seed] * len(self), "index": self.places.tolist()}
        return found | dict(zip(self.names, self.scores.T.tolist(), strict=True))

    def to_frame(self) -> Any:
        """`columns` as a pandas data frame, or an Arrow table where pandas is not installed."""
        return frame(self.columns())

    def __repr__(self) -> str:
        return (
            f"Samples({self.generator}: {len(self)} codes of {self.space!r}, "
            f"{', '.join(self.names)})"
        )

    def _repr_html_(self) -> str:
        scores = self.scores.double()
        spread = scores.std(0) if len(self) > 1 else scores.new_full(scores.shape[1:], math.nan)
        low, high = scores.aminmax(dim=0) if len(self) else (spread, spread)
        figures = torch.stack([scores.mean(0), spread, low, high], 1).tolist()
        rows = [
            (a.name, a.unit or a.kind, *row)
            for a, row in zip(self.attributes, figures, strict=True)
        ]
        return html_table(repr(self), ("attribute", "unit", "mean", "std", "min", "max"), rows)

    @checked
    def save(self, folder: str | Path) -> str | Path:
        """Write the samples to a folder that holds none yet, as Parquet shards and a manifest.

        Raises:
            LatdirError: The folder holds samples, or cannot be written.
        """
        place = place_of(folder)
        if MANIFEST in place.names():
            raise SamplesError(f"{place} holds samples already: choose another folder")
        with opened(folder, self._header()) as store:
            store.describe()
            for i in range(math.ceil(len(self) / ROWS)):
                rows = slice(i * ROWS, (i + 1) * ROWS)
                store.put(i, self.codes[rows].cpu(), self.scores[rows].cpu(), self.places[rows])
            if self.prior is not None:
                write_prior(place, self.prior)
        return place.local or folder

    @classmethod
    @checked
    def load(cls, folder: str | Path, *, partial: bool = False) -> Samples:
        """Samples of a folder, every shard verified by its checksum.

        Args:
            folder: Written by `discovery.sample(…, out=folder)` or `save`.
            partial: Load the finished part of a run, instead of refusing.

        Raises:
            LatdirError: No samples there, an unfinished run, or a broken shard or manifest.
        """
        header, rows, index = read(folder, partial=partial)
        prior = read_prior(place_of(folder), size=math.prod(header.shape))
        return cls.of(header, rows, prior=prior, index=index)

    @classmethod
    @checked
    def open(cls, folder: str | Path, *, partial: bool = False) -> Samples:
        """Samples of a folder whose rows stay there; each shard is verified when it is first read.

        Args:
            folder: Written by `discovery.sample(…, out=folder)` or `save`.
            partial: Open the finished part of a run, instead of refusing.

        Raises:
            LatdirError: No samples there, an unfinished run, or a broken manifest.

        Example:
            >>> import tempfile
            >>> samples = Samples(torch.eye(2), torch.eye(2)[:, :1], (Attribute("a"),), "z", "toy",
            ...                   "0" * 64, "me", "0" * 64, seed=0)
            >>> opened = Samples.open(samples.save(tempfile.mkdtemp()))
            >>> len(opened), opened.codes
            (2, tensor([[1., 0.],
                    [0., 1.]]))
        """
        stored = read_lazily(folder, partial=partial)
        prior = read_prior(stored.place, size=stored.size)
        return cls.of(stored.header, stored, prior=prior)

    @classmethod
    def of(
        cls,
        header: Header,
        rows: Rows | StoredRows,
        *,
        prior: Prior | None,
        index: Tensor | None = None,
    ) -> Samples:
        """Rows of a store as samples.

        Args:
            header: Their manifest.
            rows: Codes and scores, or where they are.
            prior: Distribution of the codes, where it is known.
            index: Places of the rows in the seed's sequence, if they are not consecutive.
        """
        if isinstance(rows, StoredRows):
            few = torch.zeros(0, *header.shape), torch.zeros(0, len(header.attributes))
            made = cls.of(header, few, prior=prior)
            for name in ("codes", "scores"):
                object.__delattr__(made, name)
            object.__setattr__(made, "index", None if header.consecutive else rows.places())
            object.__setattr__(made, "_stored", rows)
            return made
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
            shape=self.shape,
            seed=self.seed,
            start=self.start,
            consecutive=self.index is None,
            prior_source=self.prior_source,
            truncation=self.truncation,
            wanted=len(self),
            settings=Settings.of(self.rendering),
            notes=dict(self.notes),
        )
