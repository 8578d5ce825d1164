"""Small generators whose inversion is known."""

from __future__ import annotations

import torch
from torch import nn

from directions.generators.wrap import WrappedGenerator, wrap


def linear(d: int = 6, side: int = 4) -> WrappedGenerator:
    """Images that are a linear map of the code."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(d, 3 * side * side), nn.Unflatten(1, (3, side, side)))
    with torch.no_grad():
        net[0].weight.mul_(0.3)
    return wrap(net, latent_dim=d, name="linear")


def bent(d: int = 6, side: int = 4) -> WrappedGenerator:
    """Two layers with a smooth bend between them; images as large as the first's."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = nn.Sequential(
            nn.Linear(d, 24), nn.SiLU(), nn.Linear(24, 3 * side * side), nn.Tanh(),
            nn.Unflatten(1, (3, side, side)),
        )  # fmt: skip
    with torch.no_grad():
        net[0].weight.mul_(2)
        net[2].weight.mul_(2)
    return wrap(net, latent_dim=d, name="bent")


def pair(generator: WrappedGenerator, count: int, *, seed: int = 3) -> tuple:
    """Codes and their images."""
    codes = generator.sample(count, seed=seed)
    with torch.no_grad():
        return codes, generator.synthesize(codes)
