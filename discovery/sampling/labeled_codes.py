"""Codes of one latent space with scores: what samples are, wherever they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from directions.arguments import checked
from directions.classifiers.base import Attribute, attributes_of, check_finite, check_unique
from directions.errors import SamplesError, UnknownNameError
from directions.scoring.rendering import Rendering
from directions.space import Prior
from directions.table import frame, html_table
from discovery.decomposition.covariance import StreamingCovariance
from discovery.estimators.chunks import Chunks, InMemory
from discovery.sampling.arrays import numbers
from discovery.sampling.shard_format import Source
from discovery.sampling.stored import StoredRows

__all__ = ["LabeledCodes"]

Same = TypeVar("Same", bound="LabeledCodes")


@dataclass(frozen=True, eq=False)
class LabeledCodes:
    """The fields of `Samples`, which describes them, and what is read from them."""

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
            >>> from discovery import Samples
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
    def rows(self: Same, rows: slice | Sequence[int] | Tensor) -> Same:
        """The samples of some rows, which keep their places in the seed's sequence.

        They keep the distribution of the codes too; where it is not known, an estimate from all
        of these.

        Example:
            >>> from discovery import Samples
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
            f"{type(self).__name__}({self.generator}: {len(self)} codes of {self.space!r}, "
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
