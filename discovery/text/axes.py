"""Axes varied one at a time: coordinates of a space, or directions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.errors import SpaceError
from directions.generators.base import Generator

__all__ = ["Axes"]


@dataclass(frozen=True, eq=False)
class Axes:
    """Axes of one space, each with the standard deviation of the codes along it.

    Attributes:
        space: Name of the space.
        names: Name of each axis.
        sigmas: `[c]`, positive.
        vectors: `[c, d]`, unit rows; None means the coordinates themselves, which are many and
            need no matrix.

    Example:
        >>> from directions.generators import load_generator
        >>> axes = Axes.coordinates(load_generator("planted"), "z")
        >>> axes.names[:2], axes.steps(0, 2)[:, :3].tolist()
        (('z.0', 'z.1'), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    """

    space: str
    names: tuple[str, ...]
    sigmas: Float[Tensor, "c"]
    vectors: Float[Tensor, "c d"] | None = None

    @classmethod
    def coordinates(cls, generator: Generator, space: str) -> Axes:
        """The channels of `s`, or the coordinates of any other space.

        Those along which codes never vary are kept with sigma 0 and have no relevance.
        """
        shape = generator.space(space)
        sigmas = generator.prior(space).covariance.diagonal().clamp_min(0).sqrt()
        names = [f"{space}.{i}" for i in range(shape.size)]
        if len(shape.shape) == 1 and shape.layers:
            names = [
                f"{space}.{layer}.{channel}"
                for layer, (start, stop) in enumerate(shape.layers)
                for channel in range(stop - start)
            ]
        return cls(space, tuple(names), sigmas.float())

    @classmethod
    def of(cls, bank: DirectionBank) -> Axes:
        """The directions of a bank.

        Raises:
            LatdirError: Directions of several spaces, of single layers, or none.
        """
        rows = bank.matrix()
        partial = [d for d in bank.directions if d.layers is not None]
        if partial:
            raise SpaceError(
                f"direction {partial[0].name!r} acts on layers {list(partial[0].layers or ())} "
                "only: axes act on whole codes; take it out, or make one of its full vector"
            )
        sigmas = torch.tensor([d.sigma for d in bank.directions])
        return cls(bank.directions[0].space, tuple(bank), sigmas, rows)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def size(self) -> int:
        """Numbers of one code."""
        return len(self.sigmas) if self.vectors is None else self.vectors.shape[1]

    def steps(self, start: int, stop: int) -> Float[Tensor, "m d"]:
        """One sigma along each of the axes `start` … `stop - 1`."""
        sigmas = self.sigmas[start:stop]
        if self.vectors is not None:
            return self.vectors[start:stop] * sigmas[:, None]
        rows = torch.zeros(len(sigmas), self.size)
        rows[torch.arange(len(sigmas)), torch.arange(start, start + len(sigmas))] = sigmas
        return rows

    def combine(self, weights: Float[Tensor, "c"]) -> Float[Tensor, "d"]:
        """The sum of weighted steps of one sigma."""
        scaled = weights.cpu() * self.sigmas
        return scaled if self.vectors is None else scaled @ self.vectors

    @property
    def digest(self) -> str:
        """sha256 over space, sigmas and vectors."""
        digest = hashlib.sha256(repr((self.space, self.names)).encode())
        for part in (self.sigmas, self.vectors):
            if part is not None:
                digest.update(part.contiguous().float().numpy().tobytes())
        return digest.hexdigest()
