"""Samples: codes, their scores, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Attribute
from directions.errors import SamplesError, UnknownNameError

__all__ = ["Samples"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Codes of one latent space with the scores of the images they make.

    Attributes:
        codes: `[n, *shape]`, float32.
        scores: `[n, k]`, float32; column j belongs to `attributes[j]`.
        attributes: What the columns mean.
        space: Name of the codes' space.
        generator: Name of the generator.
        fingerprint: Its sha256.
        classifier: Name of the classifier.
        classifier_fingerprint: Its sha256.
        seed: Seed the codes were drawn with.
        start: Index of the first code in that seed's sequence.
        truncation: ψ they were drawn with.
        notes: What the sampling said of itself, such as how an adaptive run came to its n.

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
    truncation: float = 1.0
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.codes) != len(self.scores) or self.scores.shape[1] != len(self.attributes):
            raise SamplesError(
                f"{len(self.codes)} codes, scores of shape {list(self.scores.shape)} and "
                f"{len(self.attributes)} attributes do not belong together"
            )
        bad = ~torch.isfinite(self.scores).all(0)
        if bad.any():
            name = self.names[int(bad.nonzero()[0])]
            rows = int((~torch.isfinite(self.scores[:, self.names.index(name)])).sum())
            raise SamplesError(
                f"{rows} of {len(self)} scores of {name!r} are NaN or infinite: "
                f"mend the classifier {self.classifier}, or leave that attribute out"
            )

    def __len__(self) -> int:
        return len(self.codes)

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
        from discovery.sampling import store as shards

        return shards.save(self, folder)

    @classmethod
    def load(cls, folder: str | Path, *, partial: bool = False) -> Samples:
        """Samples of a folder, every shard verified by its checksum.

        Args:
            folder: Written by `discovery.sample(…, out=folder)` or `save`.
            partial: Take what a run has finished so far, instead of refusing.

        Raises:
            LatdirError: No samples there, an unfinished run, or a broken shard or manifest.
        """
        from discovery.sampling import store as shards

        return shards.load(folder, partial=partial)
