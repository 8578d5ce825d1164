"""Directions trained to be told apart by a network.

A. Voynov & A. Babenko: Unsupervised Discovery of Interpretable Directions in the GAN Latent Space,
ICML 2020, arXiv:2002.03754. See `contrast.py` for the loss, `deformators.py` for the forms of the
directions, and for how training differs from the official code.

Other differences: directions may start from those of another method, and stay in the span of its
first ones; there is no bias, a step that
all directions would share; `ortho` gives K orthonormal columns where the official one has all d;
steps are in standard deviations of the codes' coordinates, which are 1 in z.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.numerics.eigen import signed
from discovery.learned.contrast import ContrastMethod, Mover
from discovery.learned.networks.deformators import Deformator, Kind, Ortho, deformator
from discovery.registry import find_method

__all__ = ["VoynovBabenko"]

Start = Literal["random", "sefa", "pca", "global_basis"]


class Deformed(Mover):
    """Codes plus the steps of a deformator.

    Args:
        deformator: Of K amounts.
        k: Number K.
    """

    def __init__(self, deformator: Deformator, k: int) -> None:
        super().__init__()
        self.deformator, self.k = deformator, k

    def forward(self, codes: Tensor, index: Tensor, amount: Tensor) -> Tensor:
        """As `Mover.forward`."""
        x = amount.new_zeros(len(amount), self.k)
        step: Tensor = self.deformator(x.scatter(1, index[:, None], amount[:, None]))
        return codes + step


@dataclass(frozen=True)
class VoynovBabenko(ContrastMethod):
    """Directions trained to be told apart; its other settings are those of `ContrastMethod`.

    Directions that are told best come first. That they can be told apart does not give them a
    meaning: name them by their measured effects. Evidence: `accuracy` and `amount_error` (over
    `reach`) on held-out codes, `length` of the step of 1, and of `fc` `bend`, the largest distance
    of its curve from the direction over the longest step.

    Attributes:
        deformator: `ortho`, orthonormal directions; `unit`, of length 1 and any angles; `linear`,
            of any length; or `fc`, curves that are the same for all codes.
        start: Where directions start: `random`, or those of `sefa`, `pca` or `global_basis`.
        span: Number of the first directions of `start` whose span `ortho` ones stay in; by default
            0, no bound.

    Example:
        >>> from directions.generators import load_generator
        >>> found = VoynovBabenko(n_directions=3, steps=20, n_codes=64, batch_size=8)
        >>> found.discover(load_generator("planted"))
        DirectionBank(planted: voynov_babenko_00, voynov_babenko_01, voynov_babenko_02)
    """

    deformator: Kind = "ortho"
    start: Start = "random"
    span: int = 0

    method: ClassVar[str] = "voynov_babenko"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.span and (self.deformator != "ortho" or self.span < self.n_directions):
            raise LatdirError(
                f"span is {self.span}: give at least n_directions ({self.n_directions}), with "
                "deformator='ortho', or 0 for no bound"
            )

    def discover(
        self,
        generator: Generator,
        *,
        seed: int = 0,
        checkpoint: str | PathLike[str] | None = None,
    ) -> DirectionBank:
        """Train the directions.

        Args:
            generator: As for the family.
            seed: As for the family.
            checkpoint: As for the family.

        Returns:
            Directions by falling accuracy; the bank's provenance has the mean `accuracy` on codes
            not trained on and the `steps` taken.

        Raises:
            LatdirError: More directions than dimensions with `ortho`, fewer to start from than
                wanted, images that do not depend on codes differentiably, or a checkpoint of
                another run.
        """
        space, found = self._contrasted(generator, seed, checkpoint)
        where, prior, k = generator.space(space), generator.prior(space), self.n_directions
        assert isinstance(found.mover, Deformed)
        amounts = self.reach * torch.linspace(-1, 1, 9)
        with torch.no_grad():
            steps = torch.stack(
                [found.mover.deformator(a * torch.eye(k).to(generator.device)) for a in amounts], 1
            ).cpu()  # [K, 9, d]
        chords = (steps[:, -1] - steps[:, 0]) / (2 * self.reach)
        lengths = chords.norm(dim=1)
        off = steps - amounts[:, None] * chords[:, None]
        bends = off.norm(dim=2).amax(1) / (self.reach * lengths)
        vectors = signed(chords.double() / lengths[:, None]).float()
        made = [
            Direction.from_vector(
                name,
                vectors[j].reshape(where.shape),
                space=space,
                method=self.method,
                config=self.config,
                sigma=prior.sigma(vectors[j]),
                evidence={
                    **figures,
                    "length": float(lengths[j]),
                    **({"bend": float(bends[j])} if self.deformator == "fc" else {}),
                },
            )
            for (name, j), figures in zip(found.order(self.method), found.figures, strict=True)
        ]
        return DirectionBank.of(generator, tuple(made), {"seed": seed, **found.provenance})

    def _mover(self, generator: Generator, space: str, seed: int) -> Mover:
        size, k = generator.space(space).size, self.n_directions
        if self.deformator == "ortho" and max(k, self.span) > size:
            raise LatdirError(
                f"{space} has {size} dimensions, and {max(k, self.span)} orthonormal directions "
                f"need as many: lower {'span' if self.span else 'n_directions'} to {size}, or take "
                "deformator='unit'"
            )
        start = self._started(generator, space, seed, self.span or k)
        if self.deformator == "ortho":
            start = torch.linalg.qr(start).Q * torch.linalg.qr(start).R.diagonal().sign()
        if self.span:
            m = self.span
            return Deformed(Ortho(torch.zeros(m, m), torch.eye(m)[:, :k], start), k)
        return Deformed(deformator(self.deformator, start, seed=seed), k)

    def _started(self, generator: Generator, space: str, seed: int, k: int) -> Float[Tensor, "d k"]:
        """Unit columns to start from, k of them."""
        size = generator.space(space).size
        if self.start == "random":
            rng = torch.Generator().manual_seed(seed % 2**63)
            drawn = torch.randn(size, k, generator=rng)
            return normalize(drawn, dim=0)
        given = {"n_directions": k} | ({} if self.start == "sefa" else {"space": space})
        bank = find_method(self.start)(progress=self.progress, **given).discover(
            generator, seed=seed
        )
        if len(bank) < k or bank.directions[0].acts_in(generator.spaces) != space:
            raise LatdirError(
                f"{self.start} gives {len(bank)} directions of {bank.directions[0].space!r} to "
                f"start from, not {k} of {space!r}: lower n_directions, or start='random'"
            )
        return normalize(bank.matrix()[:k].T.float(), dim=0)
