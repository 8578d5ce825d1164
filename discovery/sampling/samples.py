"""Samples: codes, their scores, and their provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Attribute, check_finite
from directions.errors import SamplesError, UnknownNameError
from directions.scoring.rendering import Rendering
from discovery.sampling.shard_format import MANIFEST, ROWS, AttributeEntry, Header, Settings
from discovery.sampling.store import Rows, opened, read

__all__ = ["Samples"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Codes of one latent space with the scores of the images they make.

    Attributes:
        codes: `[n, *shape]`, float32.
        scores: `[n, k]`, float32; column j belongs to `attributes[j]`.
        attributes: The columns.
        space: Name of the codes' space.
        generator: Name of the generator.
        fingerprint: Its sha256.
        classifier: Name of the classifier.
        classifier_fingerprint: Its sha256.
        seed: Seed the codes were drawn with.
        start: Index of the first code in that seed's sequence.
        rendering: How their images were made and scored; open where that is not known.
        notes: Remarks on the sampling, such as how an adaptive run chose its n.

    Raises:
        LatdirError: Shapes that do not agree, or scores that are not finite.
    """

    codes: Float[Tensor, "n ..."]
    scores: Float[Tensor, "n k"]
    attributes: tuple[Attribute, ...]
    space: str
    generator: str
    fingerprint: str
    classifier: str
    classifier_fingerprint: str
    seed: int
    start: int = 0
    rendering: Rendering = Rendering()
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.codes) != len(self.scores) or self.scores.shape[1] != len(self.attributes):
            raise SamplesError(
                f"{len(self.codes)} codes, scores of shape {list(self.scores.shape)} and "
                f"{len(self.attributes)} attributes do not belong together"
            )
        check_finite(self.scores, names=self.names, classifier=self.classifier)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def truncation(self) -> float:
        """ψ that the codes were drawn with."""
        return self.rendering.truncation

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes, in column order."""
        return tuple(a.name for a in self.attributes)

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
        """The samples of some rows."""
        return replace(self, codes=self.codes[rows], scores=self.scores[rows])

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
                store.put(i, self.codes[rows].cpu(), self.scores[rows].cpu())
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
        header, rows = read(folder, partial=partial)
        return cls.of(header, rows)

    @classmethod
    def of(cls, header: Header, rows: Rows) -> Samples:
        """Rows of a store as samples."""
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
            truncation=self.truncation,
            wanted=len(self),
            settings=Settings.of(self.rendering),
            notes=dict(self.notes),
        )
