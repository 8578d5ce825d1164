"""Changes of one weight: which weight, and the size of a change that is one sigma."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.baselines import random_directions
from directions.errors import LatdirError, UnknownNameError, did_you_mean
from directions.generators.base import Generator
from directions.weight_space import WeightBasis, WeightDirection, WeightedGenerator
from discovery.base import Method

__all__ = ["bank_of", "chosen_weight", "one_sigma", "unit_basis"]

CODES, STEPS, ROUNDS = 16, 64, 2
START, MOST = 0.02, 100.0
"""First guess of one sigma, and the size at which a change has no effect, over the weight's."""


def chosen_weight(generator: Generator, name: str | None) -> str:
    """The name of a weight that may be changed; by default of the middle convolution.

    Raises:
        LatdirError: A generator whose weights cannot be changed, or without that one.

    Example:
        >>> from directions import load_generator
        >>> chosen_weight(load_generator("digiface64"), None)
        'layers.2.weight'
    """
    own = generator.tunable
    if not own:
        generator.with_weights({})
    if name is None:
        wide = [key for key, weight in own.items() if weight[0, 0].numel() > 1] or list(own)
        return wide[len(wide) // 2]
    if name not in own:
        raise UnknownNameError(
            f"{generator.name} has no weight {name!r}: {did_you_mean(name, own)}"
            f"it has {', '.join(own)}"
        )
    return name


def unit_basis(generator: Generator, weight: str, changes: Mapping[str, Tensor]) -> WeightBasis:
    """A basis of changes as they are, each of unit length."""
    shape = tuple(generator.tunable[weight].shape)
    [latent] = generator.space(generator.default_space()).shape
    return WeightBasis(weight, shape, latent, {k: part.float() for k, part in changes.items()})


def one_sigma(generator: Generator, basis: WeightBasis, *, seed: int) -> WeightBasis:
    """The changes scaled to one sigma.

    One sigma changes the image as much, in mean square over pixels and codes, as a step of one
    sigma along a random direction of the generator's first space.

    Args:
        generator: Makes the images.
        basis: Changes of unit length.
        seed: Seed of the codes.

    Raises:
        LatdirError: A change that no image shows.
    """
    wide, space = WeightedGenerator(generator, [basis]), basis.space.name
    run, k = wide.inference(space=space), len(basis)
    codes = wide.sample(CODES, seed=seed, space=space)
    with torch.inference_mode():
        before = run(codes)
        latents, amounts = basis.split(codes)
        steps = random_directions(generator, n_directions=STEPS, seed=seed, spread="prior")
        moved = torch.stack([d.vector * d.sigma for d in steps.directions]).to(codes)
        several = codes.repeat(STEPS // CODES, 1)
        several[:, : basis.latent] += moved
        target = (run(several) - before.repeat(STEPS // CODES, 1, 1, 1)).square().mean()
        norm = float(generator.tunable[basis.weight].norm())
        sizes = torch.full((k,), START * norm)
        for _ in range(ROUNDS):
            for i in range(k):
                by = torch.zeros_like(amounts)
                by[:, i] = sizes[i]
                change = (run(torch.cat([latents, by], 1)) - before).square().mean()
                if not sizes[i] * float((target / change).sqrt()) < MOST * norm:
                    raise LatdirError(
                        f"change {i} of {basis.weight!r} changes no image of {generator.name}: "
                        f"lower n_directions to {i}, or take another weight"
                    )
                sizes[i] *= float((target / change).sqrt())
    return unit_basis(
        generator,
        basis.weight,
        {
            # In float16, as deltas are.
            part: (tensor * (1 if part == "right" else _per_change(sizes, tensor))).half()
            for part, tensor in basis.changes.items()
        },
    )


def _per_change(sizes: Float[Tensor, "K"], tensor: Tensor) -> Tensor:
    return sizes.reshape(-1, *[1] * (tensor.ndim - 1))


def bank_of(
    method: Method,
    generator: Generator,
    basis: WeightBasis,
    evidence: Sequence[Mapping[str, Any]],
    *,
    seed: int,
    amounts: Float[Tensor, "k K"] | None = None,
) -> DirectionBank:
    """A bank of directions among changes of one sigma, by default of each change by itself.

    Args:
        method: That found them.
        generator: Whose weights they change.
        basis: The changes.
        evidence: Of each direction; the length of a step of one sigma over that of the weight is
            added.
        seed: Seed of the run.
        amounts: Of the changes in each direction.
    """
    rows = torch.eye(len(basis)) if amounts is None else amounts
    norm = float(generator.tunable[basis.weight].norm())
    lengths = basis.combined(rows / rows.norm(dim=1, keepdim=True)).flatten(1).norm(dim=1) / norm
    made = [
        WeightDirection.of(
            basis,
            row,
            name=f"{method.method}_{i:02d}",
            method=method.method,
            config=method.config,
            evidence={**own, "weight": basis.weight, "length": length},
        )
        for i, (row, own, length) in enumerate(zip(rows, evidence, lengths.tolist(), strict=True))
    ]
    return DirectionBank.of(generator, made, {"seed": seed})
