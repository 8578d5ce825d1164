"""Samples: codes, their scores, and their provenance; to and from folders."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from directions.arguments import checked, checked_fields
from directions.classifiers.base import Attribute
from directions.errors import SamplesError
from directions.space import Prior
from discovery.sampling.own_samples import OwnSamples
from discovery.sampling.places import place_of
from discovery.sampling.prior_file import read_prior, write_prior
from discovery.sampling.shard_format import MANIFEST, ROWS, AttributeEntry, Header, Settings
from discovery.sampling.store import Rows, opened, read, read_lazily
from discovery.sampling.stored import StoredRows

__all__ = ["Samples"]


@checked_fields
@dataclass(frozen=True, eq=False, repr=False)
class Samples(OwnSamples):
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
