"""Scores of held-out codes moved along directions: the input of every measure of a bank.

Codes of a seed that no direction was found with are moved by each amount along each direction;
the images are scored, and embedded if asked. Effects, calibration, leakage and identity are
functions of these scores, so one pass over the images serves all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_fields
from directions.classifiers.base import Attribute, logit
from directions.errors import LatdirError, UnknownNameError
from directions.fingerprints import Precision
from directions.scoring.rendering import Rendering

__all__ = ["Curves", "Scale", "Source"]

Scale = Literal["score", "logit"]


@dataclass(frozen=True)
class Source:
    """Provenance of the measurement.

    Attributes:
        generator: Name of the generator.
        fingerprint: Its sha256.
        classifier: Name of the classifier.
        classifier_fingerprint: Its sha256.
        seed: Seed of the held-out codes.
        count: Number of them.
        rendering: How their images were made.
        device: Where.
    """

    generator: str
    fingerprint: str
    classifier: str
    classifier_fingerprint: str
    seed: int
    count: int
    rendering: Rendering = Rendering(precision="float32")
    device: str = "cpu"

    @property
    def truncation(self) -> float:
        """ψ that the codes were drawn with."""
        return self.rendering.psi

    @property
    def precision(self) -> Precision:
        """Arithmetic of generator and classifier."""
        return self.rendering.precision or "float32"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "rendering"}
        return plain | {"truncation": self.truncation, "precision": self.precision}


@checked_fields
@dataclass(frozen=True, eq=False)
class Curves:
    """Scores of the same codes at several amounts along each direction.

    Attributes:
        directions: Names of the directions.
        attributes: Attributes along the last axis of the scores.
        amounts: `[t]`, in sigma of each direction, ascending, 0 among them.
        scores: `[k, t, n, a]`, on the CPU; at amount 0 those of the unmoved codes.
        spaces: Name of the latent space of each direction.
        source: Provenance of the measurement.
        targets: The attribute each direction is meant to move; some directions have none.
        scale: `score`, or `logit` when probabilities are given as log-odds.
        identity: `[k, t, n]`, cosine between the embeddings of moved and unmoved image; NaN at
            negative amounts, since identity is compared where the target has risen.
        identity_baseline: `[n]`, mean cosine between the embeddings of a code's unmoved image and
            those of all other codes.
        judged: A second labeler's scores of the same images, on the attributes that both have.
    """

    directions: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    amounts: Float[Tensor, "t"]
    scores: Float[Tensor, "k t n a"] = field(repr=False)
    spaces: tuple[str, ...]
    source: Source
    targets: Mapping[str, str] = field(default_factory=dict)
    scale: Scale = "score"
    identity: Float[Tensor, "k t n"] | None = field(default=None, repr=False)
    identity_baseline: Float[Tensor, "n"] | None = field(default=None, repr=False)
    judged: Curves | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        steps = self.amounts.diff()
        if not (torch.isfinite(self.amounts).all() and (steps > 0).all() and 0 in self.amounts):
            raise LatdirError(
                f"curves are measured at ascending amounts with 0 among them, not at "
                f"{self.amounts.tolist()}: analysis.measure_curves(…) makes them"
            )
        if not torch.isfinite(self.scores).all():
            raise LatdirError("these curves have NaN or infinite scores: fix the classifier")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes."""
        return tuple(a.name for a in self.attributes)

    @property
    def zero(self) -> int:
        """Index of amount 0."""
        return int((self.amounts == 0).nonzero()[0])

    @property
    def baseline(self) -> Float[Tensor, "n a"]:
        """Scores of the unmoved codes."""
        return self.scores[0, self.zero]

    @cached_property
    def std(self) -> Float[Tensor, "a"]:
        """Standard deviation of each attribute over the unmoved codes; 0 for a constant one."""
        std = self.baseline.double().std(0)
        constant = self.baseline.max(0).values == self.baseline.min(0).values
        return torch.where(constant, 0.0, std).float()

    @cached_property
    def changes(self) -> Float[Tensor, "k t n a"]:
        """Scores minus those of the same code unmoved."""
        return self.scores - self.scores[:, self.zero, None]

    @cached_property
    def logit(self) -> Curves:
        """The same with probabilities as log-odds, on which saturated scores still move."""
        if self.scale == "logit":
            return self
        flat = logit(self.scores.flatten(0, 2), self.attributes)
        judged = None if self.judged is None else self.judged.logit
        return replace(self, scores=flat.view_as(self.scores), scale="logit", judged=judged)

    def aimed(self, targets: Mapping[str, str]) -> Curves:
        """The same with the attributes that directions are meant to move, where names differ.

        Args:
            targets: Direction name to attribute name; other directions keep their target.

        Raises:
            UnknownNameError: A direction or an attribute that was not measured.

        Example:
            >>> from analysis import measure_curves
            >>> from directions import Direction, DirectionBank
            >>> from directions.planted.world import planted
            >>> world = planted(factors=2, dim=8)
            >>> bank = DirectionBank(
            ...     (Direction("up", world.truth[0], "z"),), world.name, world.fingerprint
            ... )
            >>> curves = measure_curves(world, world.classifier(), bank, count=4)
            >>> curves.aimed({"up": "factor_0"}).targets
            {'up': 'factor_0'}
        """
        for what, given, known in (
            ("direction", targets, self.directions),
            ("attribute", targets.values(), self.names),
        ):
            if unknown := [name for name in given if name not in known]:
                raise UnknownNameError(
                    f"no {what} {unknown[0]!r} was measured: there are {', '.join(known)}"
                )
        merged = {**self.targets, **targets}
        found = {name: merged[name] for name in self.directions if name in merged}
        seen = self.judged
        if seen is not None:
            seen = replace(seen, targets={d: a for d, a in found.items() if a in seen.names})
        return replace(self, targets=found, judged=seen)

    def at(self, amount: float) -> int:
        """Index of an amount.

        Raises:
            LatdirError: It was not measured.
        """
        found = (self.amounts == amount).nonzero()
        if not len(found):
            raise LatdirError(
                f"amount {amount:g} was not measured: there are "
                f"{', '.join(f'{a:g}' for a in self.amounts.tolist())}"
            )
        return int(found[0])
