"""Directions in a convolution's weights trained to be told apart in images.

A. Cherepkov, A. Voynov & A. Babenko: Navigating the GAN Parameter Space for Semantic Image Editing,
CVPR 2021, arXiv:2011.13786. Direction k is Σ_b A_bk B_b, with B the leading changes by the Hessian
of a distance of images or by the weight's singular values; A is trained as the directions of codes
of Voynov & Babenko are (`learned/contrast.py`), by a network that sees the images before and after.

Differences from the official code: columns of A are orthonormal, so that directions cannot fall
together; changes of the basis are in sigma, so that a step of one changes images about equally
whatever the basis; the step is not pushed to a fixed length of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from directions.bank import DirectionBank
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.numerics.eigen import signed
from directions.weight_space import WeightBasis, WeightDirection, WeightedGenerator
from discovery.learned.contrast import ContrastMethod, Mover, spread
from discovery.learned.networks.deformators import Ortho
from discovery.weights.changes import bank_of, chosen_weight
from discovery.weights.weight_hessian import Distance, WeightHessian
from discovery.weights.weight_svd import WeightSVD

__all__ = ["WeightContrast"]

Basis = Literal["hessian", "svd"]


class Weighed(Mover):
    """Codes of weights with orthonormal amounts added.

    Args:
        deformator: From amounts of K directions to amounts of the changes.
        latent: Coordinates of the latent code, which stays.
        k: Number K.
        scale: What amounts come multiplied by.
    """

    def __init__(self, deformator: Ortho, latent: int, k: int, scale: float) -> None:
        super().__init__()
        self.deformator, self.latent, self.k, self.scale = deformator, latent, k, scale

    def forward(self, codes: Tensor, index: Tensor, amount: Tensor) -> Tensor:
        """As `Mover.forward`."""
        x = amount.new_zeros(len(amount), self.k).scatter(1, index[:, None], amount[:, None])
        return codes + pad(self.deformator(x / self.scale), (self.latent, 0))


@dataclass(frozen=True)
class WeightContrast(ContrastMethod):
    """Changes of a convolution's weight that are trained to be told apart.

    Its other settings are those of `ContrastMethod`, with steps in sigma. Directions told best come
    first. Evidence: `accuracy` and `amount_error` (over `reach`) on held-out codes; `weight`;
    `length`, that of a step of one sigma over that of the weight.

    Attributes:
        weight: Name of the weight, of `generator.tunable`; by default the middle convolution's.
        basis: What directions are combined of: changes by the `hessian` of a distance, or by `svd`.
        n_changes: Number of these.
        distance: Of the Hessian: `pixels`, `faces` or `lpips`.

    Example:
        >>> from directions.planted.weights import PlantedWeights
        >>> from directions.planted.world import planted
        >>> world = PlantedWeights.of(planted(factors=2, dim=8, nuisances=1))
        >>> found = WeightContrast(n_directions=2, n_changes=3, steps=4, n_codes=16, batch_size=4)
        >>> found.discover(world)
        DirectionBank(planted: weight_contrast_00, weight_contrast_01)
    """

    weight: str | None = None
    basis: Basis = "hessian"
    n_changes: int = 64
    distance: Distance = "pixels"

    method: ClassVar[str] = "weight_contrast"
    # Each move has weights of its own: an image is made by itself.
    held_out = (128, 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.space is not None:
            raise LatdirError(
                f"space is {self.space!r}, and weight_contrast moves no codes: give weight=…"
            )
        if self.n_changes < self.n_directions:
            raise LatdirError(
                f"{self.n_changes} changes make no {self.n_directions} orthonormal directions: "
                f"raise n_changes to {self.n_directions} at least"
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
            generator: With weights that can be changed: DCGANs, StyleGAN2 and StyleGAN.
            seed: As for the family.
            checkpoint: As for the family.

        Raises:
            LatdirError: No such weight, more changes than it has, or a checkpoint of another run.
        """
        basis = self._changes(generator, seed)
        wide = WeightedGenerator(generator, [basis])
        _, found = self._contrasted(wide, seed, checkpoint)
        assert isinstance(found.mover, Weighed)
        with torch.no_grad():
            columns = found.mover.deformator(torch.eye(self.n_directions).to(generator.device))
        order = found.accuracy.argsort(descending=True, stable=True)
        evidence = [
            {"accuracy": float(found.accuracy[j]), "amount_error": float(found.error[j])}
            for j in order
        ]
        amounts = signed(columns.double().cpu())[order].float()
        bank = bank_of(self, generator, basis, evidence, seed=seed, amounts=amounts)
        return replace(bank, provenance={**bank.provenance, **found.provenance})

    def _changes(self, generator: Generator, seed: int) -> WeightBasis:
        """The changes of one sigma that directions are combined of."""
        weight, k = chosen_weight(generator, self.weight), self.n_changes
        if self.basis == "svd":
            bank = WeightSVD(weight, k).discover(generator, seed=seed)
        else:
            bank = WeightHessian(weight, k, self.distance).discover(generator, seed=seed)
        found = bank.directions[0]
        assert isinstance(found, WeightDirection)
        return found.basis

    def _space(self, generator: Generator) -> str:
        assert isinstance(generator, WeightedGenerator)
        return next(iter(generator.bases))

    def _mover(self, generator: Generator, space: str, seed: int) -> Mover:
        assert isinstance(generator, WeightedGenerator)
        basis, k = generator.bases[space], self.n_directions
        rng = torch.Generator().manual_seed(seed % 2**63)
        start = torch.linalg.qr(torch.randn(len(basis), k, generator=rng))[0]
        deformator = Ortho(torch.zeros(len(basis), len(basis)), start)
        return Weighed(deformator, basis.latent, k, spread(generator, space))
