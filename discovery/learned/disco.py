"""Directions whose variations an encoder sees as alike within one and unlike between two.

X. Ren et al.: Learning Disentangled Representation by Exploiting Pretrained Generative Models: A
Contrastive Learning View (DisCo), ICLR 2022, arXiv:2102.10543. An encoder E and the directions are
trained together; the variation of a code moved along direction k is

    v = |E(G(z + ε dₖ)) - E(G(z))|, of unit length.

Two variations of one direction shall have a large product and those of two a small one: binary
cross-entropy with logits v · v', where two of different directions with a cosine above 0.95 are
taken for alike to that degree (`flipping`); and each v shall have its weight on one unit, by a
small entropy of softmax(v) (`domination`).

Differences from the official code: all pairs of a step's moves are compared, some of each of
several directions, where that code takes 128 moves for one direction; unmoved images are made once,
as in `contrast.py`; ε is uniform, and no step is shorter than a twelfth of the longest.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import LatdirError
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.numerics.eigen import signed
from directions.training import Checkpoint, falling, fit, step_rng
from discovery.base import TrainingMethod
from discovery.learned.contrast import LEAST, Images, amounts, spread
from discovery.learned.networks.deformators import Deformator, deformator
from discovery.learned.networks.reconstructors import SIDE, convolutions

__all__ = ["DisCo", "disco_loss"]

HARD = 0.95
# Least moves of each direction in a step.
EACH = 4
JUDGED = 32


class Encoder(nn.Module):
    """Three strided convolutions at 32 pixels and a linear layer.

    Args:
        units: Numbers of its output.
        shape: Of the images.
    """

    side = SIDE

    def __init__(self, units: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.features, size = convolutions(shape)
        self.last = nn.Linear(size, units)

    def forward(self, images: Tensor) -> Tensor:
        """`[n, units]`."""
        found: Tensor = self.last(self.features(images))
        return found


def disco_loss(
    v: Float[Tensor, "n u"], same: Bool[Tensor, "n n"], *, flipping: bool, domination: float
) -> Float[Tensor, ""]:
    """The loss of unit variations.

    Args:
        v: Unit variations of n moves.
        same: Whether two moves are along one direction.
        flipping: Whether those of two directions that look alike are taken for alike.
        domination: Weight of the entropy.

    Example:
        >>> v = torch.eye(2)[[0, 0, 1, 1]]
        >>> same = v @ v.T > 0.5
        >>> loss = disco_loss(v, same, flipping=True, domination=0.0)
        >>> bool(loss < disco_loss(v, ~same, flipping=False, domination=0.0))
        True
    """
    logits = v @ v.T
    cosines, label = logits.detach(), same.to(v)
    if flipping:
        label = torch.where(~same & (cosines > HARD), cosines, label)
    each = binary_cross_entropy_with_logits(logits, label, reduction="none")
    own = same & ~torch.eye(len(v), dtype=torch.bool, device=v.device)
    entropy = -(v.softmax(1) * v.log_softmax(1)).sum(1).mean()
    return each[own].mean() + each[~same].mean() + domination * entropy


@dataclass(frozen=True)
class DisCo(TrainingMethod):
    """Directions whose variations an encoder sees as alike within one and unlike between two.

    Evidence: `accuracy`, the share of moves of held-out codes whose variation is nearest to the
    mean one of their own direction.

    Attributes:
        n_directions: Number K of directions.
        form: `ortho`, orthonormal directions, or `unit`, of any angles.
        space: Latent space; by default `w` where there is one, otherwise the generator's own.
        reach: Longest step, in mean standard deviations of the codes' coordinates.
        units: Numbers of the encoder's output.
        flipping: Whether hard negatives are taken for alike to the degree that they are.
        domination: Weight of the entropy that leaves each variation one unit.
        steps: Steps of Adam.
        batch_size: Moves a step, at least four of each of some directions.
        rate: Highest rate; it falls to zero.
        n_codes: Codes that are moved.
        precision: Arithmetic of generator and encoder.

    Example:
        >>> from directions.generators import load_generator
        >>> found = DisCo(n_directions=3, steps=20, n_codes=64, batch_size=8)
        >>> found.discover(load_generator("planted"))
        DirectionBank(planted: disco_00, disco_01, disco_02)
    """

    n_directions: int = 20
    form: Literal["ortho", "unit"] = "ortho"
    space: str | None = None
    reach: float = 3.0
    units: int = 32
    flipping: bool = True
    domination: float = 0.1
    steps: int = 3000
    batch_size: int = 32
    rate: float = 2e-3
    n_codes: int = 4096
    precision: Precision = "bfloat16"

    method: ClassVar[str] = "disco"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("rate", "reach")
        self._check_least(0, "domination")
        self._check_least(2, "units")
        if self.n_directions < 2 or self.batch_size < 2 * EACH:
            raise LatdirError(
                f"n_directions is {self.n_directions} and batch_size {self.batch_size}: give at "
                f"least 2 directions and {2 * EACH} moves, {EACH} of each of two"
            )

    def discover(
        self,
        generator: Generator,
        *,
        seed: int = 0,
        checkpoint: str | PathLike[str] | None = None,
    ) -> DirectionBank:
        """Train the directions and the encoder.

        Args:
            generator: As for the family.
            seed: As for the family.
            checkpoint: As for the family.

        Returns:
            Directions by falling accuracy.

        Raises:
            LatdirError: More directions than dimensions with `ortho`, images that do not depend on
                codes differentiably, or a checkpoint of another run.
        """
        space, k = self.space or generator.default_space("w"), self.n_directions
        where, prior = generator.space(space), generator.prior(space)
        if self.form == "ortho" and k > where.size:
            raise LatdirError(
                f"{space} has {where.size} dimensions, and {k} orthonormal directions need as "
                f"many: lower n_directions to {where.size}, or take form='unit'"
            )
        moves, encoder = self._parts(generator, space, seed)
        moves, encoder = moves.to(generator.device), encoder.to(generator.device)
        images = Images(generator, space, self.precision)
        codes = generator.sample(self.n_codes, seed=seed, space=space)
        before, scale = images.all(codes), spread(generator, space)

        def variations(codes: Tensor, before: Tensor, index: Tensor, draws: Tensor) -> Tensor:
            by = amounts(2 * draws - 1, reach=self.reach, least=LEAST * self.reach).to(codes)
            x = by.new_zeros(len(by), k).scatter(1, index[:, None], scale * by[:, None])
            moved = (codes.flatten(1) + moves(x)).reshape(codes.shape)
            with images.arithmetic():
                both = encoder(torch.cat([before, images(moved)])).float()
            first, second = both.chunk(2)
            return normalize((second - first).abs())

        groups = min(k, self.batch_size // EACH)
        each = self.batch_size // groups

        def loss(step: int) -> Tensor:
            rng = step_rng(seed, step)
            index = torch.randperm(k, generator=rng)[:groups].repeat_interleave(each)
            rows = torch.randint(len(codes), (len(index),), generator=rng).to(codes.device)
            draws, index = torch.rand(len(index), generator=rng), index.to(codes.device)
            v = variations(codes[rows], before[rows], index, draws)
            return disco_loss(
                v,
                index[:, None] == index,
                flipping=self.flipping,
                domination=self.domination,
            )

        learned = nn.ModuleDict({"moves": moves, "encoder": encoder})
        fitted = fit(
            learned,
            loss,
            torch.optim.Adam(learned.parameters(), lr=self.rate),
            steps=self.steps,
            checkpoint=Checkpoint(checkpoint, self.run(generator.fingerprint, seed)),
            schedule=falling,
            title=self.method,
        )
        held = generator.sample(JUDGED, seed=seed, start=self.n_codes, space=space)
        unmoved = images.all(held)
        with torch.no_grad():
            made = []
            for j in range(k):
                index = torch.full((JUDGED,), j, device=codes.device)
                draws = torch.rand(JUDGED, generator=step_rng(seed, self.steps + j))
                made.append(variations(held, unmoved, index, draws))
            v = torch.stack(made)
            centers = normalize(v[:, ::2].mean(1))
            nearest = (v[:, 1::2] @ centers.T).argmax(2)
            columns = moves(torch.eye(k).to(codes)).cpu().double()
        told = (nearest == torch.arange(k, device=codes.device)[:, None]).float().mean(1).cpu()
        vectors = signed(normalize(columns)).float()
        directions = [
            Direction.from_vector(
                f"{self.method}_{i:02d}",
                vectors[j].reshape(where.shape),
                space=space,
                method=self.method,
                config=self.config,
                sigma=prior.sigma(vectors[j]),
                evidence={"accuracy": float(told[j])},
            )
            for i, j in enumerate(told.argsort(descending=True, stable=True).tolist())
        ]
        provenance = {"seed": seed, "accuracy": float(told.mean()), "steps": fitted.kept}
        return DirectionBank.of(generator, tuple(directions), provenance)

    def _parts(self, generator: Generator, space: str, seed: int) -> tuple[Deformator, Encoder]:
        """The directions, and the encoder, before training."""
        rng = torch.Generator().manual_seed(seed % 2**63)
        start = torch.randn(generator.space(space).size, self.n_directions, generator=rng)
        start = torch.linalg.qr(start).Q if self.form == "ortho" else normalize(start, dim=0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = Encoder(self.units, generator.image_shape)
        return deformator(self.form, start.contiguous(), seed=seed), encoder
