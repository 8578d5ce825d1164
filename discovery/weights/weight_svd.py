"""Directions in a convolution's weights in closed form: its own singular directions.

A. Cherepkov, A. Voynov & A. Babenko: Navigating the GAN Parameter Space for Semantic Image Editing,
CVPR 2021, arXiv:2011.13786. With the weight as a matrix W = Σ s_k u_k v_kᵀ of one axis of channels
and all others, direction k is u_k v_kᵀ.

Difference from the official code: each direction is one singular pair, where that code trains
combinations of all (`weight_contrast` with `basis="svd"` does); steps are in sigma.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from directions.bank import DirectionBank
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.weight_space import WeightBasis
from discovery.base import GeneratorMethod
from discovery.weights.changes import bank_of, chosen_weight, one_sigma, unit_basis

__all__ = ["WeightSVD", "singular_basis"]


@dataclass(frozen=True)
class WeightSVD(GeneratorMethod):
    """Singular directions of a convolution's weight, the largest first.

    Evidence: `singular_value`; `weight`, the name of the weight; `length`, that of a step of one
    sigma over that of the weight.

    Attributes:
        weight: Name of the weight, of `generator.tunable`; by default the middle convolution's.
        n_directions: Number of directions.

    Example:
        >>> from directions import load_generator
        >>> bank = WeightSVD(n_directions=2).discover(load_generator("digiface64"))
        >>> bank["weight_svd_01"].applied(load_generator("digiface64"), 3.0).name
        'digiface64+weight_svd_01'
    """

    weight: str | None = None
    n_directions: int = 32

    method: ClassVar[str] = "weight_svd"

    def discover(self, generator: Generator, *, seed: int = 0) -> DirectionBank:
        """Singular directions of the weight.

        Args:
            generator: With weights that can be changed: DCGANs, StyleGAN2 and StyleGAN.
            seed: Seed of the codes that a step of one sigma is measured on.

        Raises:
            LatdirError: No such weight, or more directions than it has.
        """
        weight = chosen_weight(generator, self.weight)
        basis, values = singular_basis(generator, weight, self.n_directions)
        scaled = one_sigma(generator, basis, seed=seed)
        evidence = [{"singular_value": value} for value in values.tolist()]
        return bank_of(self, generator, scaled, evidence, seed=seed)


def singular_basis(
    generator: Generator, weight: str, count: int
) -> tuple[WeightBasis, torch.Tensor]:
    """The leading singular directions of a weight as changes of unit length, and their values.

    Raises:
        LatdirError: More than it has.
    """
    matrix = generator.tunable[weight].detach().double().flatten(1)
    most = min(matrix.shape)
    if count > most:
        raise LatdirError(f"{weight!r} has {most} singular directions: lower {count} to {most}")
    u, values, vt = torch.linalg.svd(matrix, full_matrices=False)
    parts = {"left": u.T[:count, :, None], "right": vt[:count, None, :]}
    return unit_basis(generator, weight, parts), values[:count]
