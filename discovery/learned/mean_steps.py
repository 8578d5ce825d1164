"""Banks of curved paths: their mean steps as straight directions, and how much they bend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.generators.base import Generator
from directions.paths.base import CurvedPath
from discovery.sampling.samples import Samples
from discovery.supervised.labels import bank_of

__all__ = ["bend_of", "mean_directions", "path_bank", "samples_bank"]

AHEAD = 1.0


@torch.no_grad()
def bend_of(path: CurvedPath, codes: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Mean step of codes from -1 to 1 sigma, and how the codes' own steps differ from it.

    Args:
        path: Any path.
        codes: `[n, *shape]`.

    Returns:
        The mean step, flat, and `agreement` (mean cosine of the codes' steps with it) and `bend`
        (1 - mean cosine of a code's steps from -1 to 0 and from 0 to 1 sigma).
    """
    ahead = (path.shift(codes, AHEAD) - codes).flatten(1)
    behind = (codes - path.shift(codes, -AHEAD)).flatten(1)
    steps = ahead + behind
    mean = steps.mean(0)
    return mean, {
        "agreement": float(cosine_similarity(steps, mean[None]).mean()),
        "bend": float(1 - cosine_similarity(ahead, behind).mean()),
    }


def mean_directions(
    paths: Sequence[CurvedPath],
    codes: Tensor,
    *,
    sigma: Callable[[Tensor], float],
    method: str,
    config: Mapping[str, Any],
    evidence: Sequence[Mapping[str, Any]],
) -> tuple[Direction, ...]:
    """The mean steps of paths as directions, in their order.

    Args:
        paths: Of one space.
        codes: Held-out codes that the means are of, `[n, *shape]`.
        sigma: Of unit vectors `[d]`, the codes' standard deviation along them.
        method: Name of the method.
        config: Its hyper-parameters.
        evidence: More figures of each.
    """
    made = []
    for path, figures in zip(paths, evidence, strict=True):
        mean, bends = bend_of(path, codes)
        unit = (mean / mean.norm()).cpu()
        made.append(
            Direction.from_vector(
                path.name,
                unit.reshape(codes.shape[1:]),
                space=path.space,
                method=method,
                config=config,
                sigma=sigma(unit),
                evidence={**bends, **figures},
            )
        )
    return tuple(made)


def path_bank(
    generator: Generator,
    paths: Sequence[CurvedPath],
    codes: Tensor,
    *,
    method: str,
    config: Mapping[str, Any],
    evidence: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
) -> DirectionBank:
    """A bank of the mean steps of a generator's paths; arguments as of `mean_directions`."""
    prior = generator.prior(paths[0].space)
    made = mean_directions(
        paths, codes, sigma=prior.sigma, method=method, config=config, evidence=evidence
    )
    return DirectionBank.of(generator, made, provenance)


def samples_bank(
    samples: Samples,
    paths: Sequence[CurvedPath],
    codes: Tensor,
    *,
    method: str,
    config: Mapping[str, Any],
    evidence: Sequence[Mapping[str, Any]],
) -> DirectionBank:
    """A bank of the mean steps of paths trained on samples; arguments as of `mean_directions`."""
    sigma, shape = samples.population.sigma, samples.codes.shape[1:]
    made = mean_directions(
        paths,
        codes.reshape(-1, *shape),
        sigma=sigma,
        method=method,
        config=config,
        evidence=evidence,
    )
    return bank_of(samples, made)
