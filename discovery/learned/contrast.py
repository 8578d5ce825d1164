"""Training of moves that can be told apart: what methods with a reconstructor share.

A. Voynov & A. Babenko, ICML 2020, arXiv:2002.03754. A code moves along direction k by ε; a
network R sees the images before and after, and both learn by

    CE(k̂, k) + λ |ε̂ - ε|,    k uniform, ε uniform up to `reach` either way, and no shorter than
                              a twelfth of it

Differences from the official code: codes come from a pool whose unmoved images are made once;
the generator is frozen, and works in bfloat16 unless told otherwise; rates are higher and fall, so
that thousands of steps take the place of a hundred thousand.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from os import PathLike
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from directions.errors import LatdirError
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.progress import tqdm
from directions.training import Checkpoint, Fit, falling, fit, step_rng
from discovery.base import TrainingMethod
from discovery.learned.networks.reconstructors import SIDE, Kind, reconstructor, reduced

__all__ = [
    "Images",
    "LEAST",
    "ContrastMethod",
    "Contrasted",
    "Mover",
    "amounts",
    "contrast_loss",
    "spread",
]

LEAST = 1 / 12
"""Shortest step, as a share of the longest: 0.5 of 6 in the paper."""
RENDERED = 64


class Mover(nn.Module):
    """Base: what is trained to move codes."""

    def forward(
        self, codes: Float[Tensor, "n d"], index: Int[Tensor, "n"], amount: Float[Tensor, "n"]
    ) -> Float[Tensor, "n d"]:
        """Flat codes, each moved along its direction by its amount."""
        raise NotImplementedError

    def penalty(
        self, codes: Float[Tensor, "n d"], index: Int[Tensor, "n"], amount: Float[Tensor, "n"]
    ) -> Float[Tensor, ""]:
        """What the moves cost beside not being told: nothing, unless a method says otherwise."""
        return amount.new_zeros(())


class Contrasted(NamedTuple):
    """Trained moves and how well they are told apart.

    Attributes:
        mover: The moves; their weights are frozen.
        accuracy: `[K]`, share of moves of codes not trained on that R tells, by direction.
        error: `[K]`, mean |ε̂ - ε| of them, over the longest step.
        fit: How the training went.
    """

    mover: Mover
    accuracy: Float[Tensor, "k"]
    error: Float[Tensor, "k"]
    fit: Fit

    def order(self, method: str) -> list[tuple[str, int]]:
        """Name and place of each move, those told best first."""
        best = self.accuracy.argsort(descending=True, stable=True).tolist()
        return [(f"{method}_{i:02d}", j) for i, j in enumerate(best)]

    @property
    def figures(self) -> list[dict[str, Any]]:
        """Evidence of each move, in that order."""
        return [
            {"accuracy": float(self.accuracy[j]), "amount_error": float(self.error[j])}
            for _, j in self.order("")
        ]

    @property
    def provenance(self) -> dict[str, Any]:
        """Figures of the run for a bank."""
        return {"accuracy": float(self.accuracy.mean()), "steps": self.fit.kept}


def amounts(draws: Float[Tensor, "n"], *, reach: float, least: float) -> Float[Tensor, "n"]:
    """Amounts from uniform draws in -1 … 1: up to `reach`, pushed away from 0 to `least`.

    Example:
        >>> amounts(torch.tensor([-1.0, -0.01, 0.0, 0.5]), reach=6.0, least=0.5)
        tensor([-6.0000, -0.5000,  0.0000,  3.0000])
    """
    scaled = reach * draws
    return torch.where(scaled.abs() < least, scaled.sign() * least, scaled)


def contrast_loss(
    logits: Float[Tensor, "n k"],
    guess: Float[Tensor, "n"],
    index: Int[Tensor, "n"],
    amount: Float[Tensor, "n"],
    *,
    weight: float,
) -> Float[Tensor, ""]:
    """CE(k̂, k) + λ mean |ε̂ - ε|.

    Example:
        >>> zero = torch.zeros(1)
        >>> float(contrast_loss(torch.zeros(1, 2), zero, zero.long(), zero + 4.0, weight=0.25))
        1.69...
    """
    return cross_entropy(logits, index) + weight * (guess - amount).abs().mean()


@dataclass(frozen=True)
class ContrastMethod(TrainingMethod):
    """Methods whose moves a reconstructor learns to tell apart.

    Attributes:
        n_directions: Number K of directions.
        space: Latent space; by default `w` where there is one, otherwise the generator's own.
        reach: Longest step, in mean standard deviations of the codes' coordinates.
        steps: Steps of Adam.
        batch_size: Moves a step.
        rate: Highest rate; it falls to zero.
        amount_weight: λ, weight of the amount's error beside that of the direction.
        n_codes: Codes that are moved.
        reconstructor: `small`, or `lenet` or `resnet` as in the paper.
        precision: Arithmetic of generator and reconstructor.
    """

    n_directions: int = 20
    space: str | None = None
    reach: float = 6.0
    steps: int = 4000
    batch_size: int = 32
    rate: float = 2e-3
    amount_weight: float = 0.25
    n_codes: int = 4096
    reconstructor: Kind = "small"
    precision: Precision = "bfloat16"

    # Held-out codes, no more than those moved, and moves of each.
    held_out: ClassVar[tuple[int, int]] = (256, 8)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("rate", "reach")
        self._check_least(0, "amount_weight")
        if self.n_directions < 2 or self.batch_size < 2:
            raise LatdirError(
                f"n_directions is {self.n_directions} and batch_size {self.batch_size}: give at "
                "least 2 of each, for one direction cannot be told from another"
            )

    @abstractmethod
    def _mover(self, generator: Generator, space: str, seed: int) -> Mover:
        """The moves before training."""

    def _space(self, generator: Generator) -> str:
        return self.space or generator.default_space("w")

    def _contrasted(
        self, generator: Generator, seed: int, checkpoint: str | PathLike[str] | None
    ) -> tuple[str, Contrasted]:
        """The space, and the trained moves."""
        space, k = self._space(generator), self.n_directions
        mover = self._mover(generator, space, seed).to(generator.device)
        teller = reconstructor(self.reconstructor, k, generator.image_shape, seed=seed)
        teller.to(generator.device)
        images = Images(generator, space, self.precision, teller.side)
        codes = generator.sample(self.n_codes, seed=seed, space=space)
        before, scale = images.all(codes), spread(generator, space)

        def amount(count: int, rng: torch.Generator) -> Tensor:
            draws = 2 * torch.rand(count, generator=rng) - 1
            return amounts(draws, reach=self.reach, least=LEAST * self.reach).to(codes.device)

        def answers(codes: Tensor, before: Tensor, index: Tensor, by: Tensor) -> list[Tensor]:
            moved = mover(codes.flatten(1), index, by * scale).reshape(codes.shape)
            with images.arithmetic():
                return [t.float() for t in teller(before, images(moved))]

        def loss(step: int) -> Tensor:
            rng, n = step_rng(seed, step), self.batch_size
            rows = torch.randint(len(codes), (n,), generator=rng).to(codes.device)
            index = torch.randint(k, (n,), generator=rng).to(codes.device)
            by = amount(n, rng)
            logits, guess = answers(codes[rows], before[rows], index, by)
            told = contrast_loss(logits, guess, index, by, weight=self.amount_weight)
            return told + mover.penalty(codes[rows].flatten(1), index, by * scale)

        learned = nn.ModuleDict({"mover": mover, "teller": teller})
        fitted = fit(
            learned,
            loss,
            torch.optim.Adam(learned.parameters(), lr=self.rate),
            steps=self.steps,
            checkpoint=Checkpoint(checkpoint, self.run(generator.fingerprint, seed)),
            schedule=falling,
            title=self.method,
        )
        right, off = [], []
        judged, moves = min(self.held_out[0], self.n_codes), self.held_out[1]
        held = generator.sample(judged, seed=seed, start=self.n_codes, space=space)
        order = torch.arange(k * max(1, judged * moves // k)).to(codes.device)
        with torch.no_grad():
            bar = tqdm(torch.split(order, RENDERED), desc="held-out codes", delay=1, leave=False)
            unmoved = images.all(held)
            for i, part in enumerate(bar):
                rows, index = part // k % judged, part % k
                by = amount(len(part), step_rng(seed, self.steps + i))
                logits, guess = answers(held[rows], unmoved[rows], index, by)
                right.append((logits.argmax(1) == index).float().cpu())
                off.append(((guess - by).abs() / self.reach).cpu())
        told, error = (torch.cat(t).reshape(-1, k).mean(0) for t in (right, off))
        return space, Contrasted(mover, told, error, fitted)


def spread(generator: Generator, space: str) -> float:
    """Root mean variance of a space's coordinates, 1 where codes are standard normal."""
    covariance = generator.prior(space).covariance
    return float(covariance.diagonal().mean().sqrt())


class Images:
    """Images of codes as a network wants them.

    Args:
        generator: Makes them.
        space: Of the codes.
        precision: Arithmetic.
        side: Pixels that they are reduced to.
    """

    def __init__(
        self, generator: Generator, space: str, precision: Precision, side: int | None = SIDE
    ) -> None:
        self.generator, self.space, self.side = generator, space, side
        self.fast = precision == "bfloat16"

    def arithmetic(self) -> torch.autocast:
        """The arithmetic wanted, as a context."""
        return torch.autocast(self.generator.device.type, torch.bfloat16, enabled=self.fast)

    def __call__(self, codes: Tensor) -> Tensor:
        """Reduced images of codes, in float32.

        Raises:
            LatdirError: Codes have gradients, and images do not.
        """
        with self.arithmetic():
            made = self.generator.synthesize(codes, self.space)
        if codes.requires_grad and not made.requires_grad:
            raise LatdirError(
                f"images of {self.generator.name} do not depend on codes differentiably: wrap its "
                "module itself, or take a method that needs no gradients, such as pca"
            )
        return reduced(made.float(), self.side)

    @torch.no_grad()
    def all(self, codes: Tensor) -> Tensor:
        """Of many codes, in batches."""
        parts = tqdm(torch.split(codes, RENDERED), desc="images", delay=1, leave=False)
        return torch.cat([self(part) for part in parts])
