"""Directions in a convolution's weights that change images most.

A. Cherepkov, A. Voynov & A. Babenko: Navigating the GAN Parameter Space for Semantic Image Editing,
CVPR 2021, arXiv:2011.13786. With φ the features of an image, the mean squared distance

    E_z ‖φ(G_{θ+δ}(z)) − φ(G_θ(z))‖²

has at δ = 0 the Hessian 2 E_z[JᵀJ], J the Jacobian of the features in the weight; its leading
eigenvectors are the directions.

Differences from the official code: products with JᵀJ are exact, by two derivatives of one
graph, where that code takes differences of gradients at a step that grows with the eigenvalue
(its vectors are never normalized); a block Krylov space takes the place of the power iteration
with deflation; steps are in sigma.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.numerics.eigen import Spectrum
from directions.numerics.jacobian import leading
from directions.numerics.linearized import Linearized
from directions.scoring.features import Features, face_features, lpips_features, pixel_features
from discovery.base import GeneratorMethod
from discovery.weights.changes import bank_of, chosen_weight, one_sigma, unit_basis

__all__ = ["Distance", "WeightHessian", "leading_changes"]

Distance = Literal["pixels", "faces", "lpips"]
DISTANCES: dict[Distance, Callable[[], Features]] = {
    "pixels": lambda: pixel_features,
    "faces": face_features,
    "lpips": lpips_features,
}
TOLERANCE = 0.2
"""Largest residual of an eigenpair over its eigenvalue, whose own error is of its square."""


@dataclass(frozen=True)
class WeightHessian(GeneratorMethod):
    """Changes of a convolution's weight that change images most, on average over codes.

    Evidence: `eigenvalue`, `share`, `tied_with` and `tied_beyond` as for `global_basis`; `weight`;
    `length`, that of a step of one sigma over that of the weight.

    Attributes:
        weight: Name of the weight, of `generator.tunable`; by default the middle convolution's.
        n_directions: Number of directions.
        distance: What a change is measured in: `pixels`, activations of the built-in network for
            `faces`, or `lpips`.
        n_codes: Number of codes.
        batch_size: Codes at a time.

    Example:
        >>> from directions.planted.weights import PlantedWeights
        >>> from directions.planted.world import planted
        >>> world = PlantedWeights.of(planted(factors=2, dim=8, nuisances=1))
        >>> WeightHessian(n_directions=2, n_codes=8).discover(world)
        DirectionBank(planted: weight_hessian_00, weight_hessian_01)
    """

    weight: str | None = None
    n_directions: int = 32
    distance: Distance = "pixels"
    n_codes: int = 32
    batch_size: int = 16

    method: ClassVar[str] = "weight_hessian"

    def discover(self, generator: Generator, *, seed: int = 0) -> DirectionBank:
        """The leading eigenvectors of the Hessian, largest first.

        Args:
            generator: With weights that can be changed: DCGANs, StyleGAN2 and StyleGAN.
            seed: Seed of the codes and of the eigensolver's start.

        Raises:
            LatdirError: No such weight, or more directions than it has numbers.
        """
        weight = chosen_weight(generator, self.weight)
        own = generator.tunable[weight]
        if self.n_directions > own.numel():
            raise LatdirError(f"{weight!r} has {own.numel()} numbers: lower n_directions to it")
        codes = generator.sample(self.n_codes, seed=seed)
        features = DISTANCES[self.distance]()
        found = leading_changes(
            generator, weight, codes, features, self.n_directions, batch=self.batch_size, seed=seed
        )
        added = found.vectors.reshape(-1, *own.shape)
        scaled = one_sigma(generator, unit_basis(generator, weight, {"added": added}), seed=seed)
        evidence = [found.evidence(i) for i in range(len(found))]
        return bank_of(self, generator, scaled, evidence, seed=seed)


def leading_changes(
    generator: Generator,
    weight: str,
    codes: Float[Tensor, "n d"],
    features: Features,
    count: int,
    *,
    batch: int,
    seed: int,
) -> Spectrum:
    """The leading eigenpairs of the mean of JᵀJ over codes, J that of the features in the weight.

    Args:
        generator: Makes the images.
        weight: Name of the weight.
        codes: Of its first space.
        features: Of the images.
        count: Number of eigenpairs.
        batch: Codes at a time.
        seed: Seed of the start.
    """
    own, space = generator.tunable[weight], generator.default_space()

    def seen(change: Tensor, part: Tensor) -> Tensor:
        images = generator.with_weights({weight: own + change}).synthesize(part, space)
        rows: Tensor = features(images).flatten(1) / len(codes) ** 0.5
        return rows

    # For each part of the codes Jᵀu, whose derivative in u along v is J v: both from one graph.
    zero = torch.zeros_like(own, requires_grad=True)
    with torch.enable_grad():
        values = [seen(zero, part) for part in torch.split(codes, batch)]
        dual = [torch.zeros_like(value, requires_grad=True) for value in values]
        pulled = [
            torch.autograd.grad(value, zero, u, create_graph=True)[0]
            for value, u in zip(values, dual, strict=True)
        ]

    def push(tangents: Tensor) -> Tensor:
        columns = [
            [
                torch.autograd.grad(p, u, t, retain_graph=True)[0]
                for p, u in zip(pulled, dual, strict=True)
            ]
            for t in tangents
        ]
        return torch.stack([torch.cat(column) for column in columns])

    def pull(cotangents: Tensor) -> Tensor:
        rows = [
            [
                torch.autograd.grad(value, zero, w, retain_graph=True)[0]
                for value, w in zip(values, torch.split(u, batch), strict=True)
            ]
            for u in cotangents
        ]
        return torch.stack([torch.stack(parts).sum(0) for parts in rows])

    value = torch.cat(values).detach()
    model = Linearized(value, tuple(own.shape), push, pull, value.numel() * value.element_size())
    # Half of the count: larger blocks need fewer rounds, but more products in all.
    block = min(16, max(4, count // 2), own.numel())
    return leading(model, count=count, tolerance=TOLERANCE, block=block, seed=seed)
