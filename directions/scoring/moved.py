"""Codes moved along directions: what effects, curves and nulls are measured on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from directions.direction import Direction

__all__ = ["Moves", "moved_codes"]


@dataclass(frozen=True, eq=False)
class Moves:
    """Amounts to move codes by along each of several directions.

    Attributes:
        directions: The directions.
        amounts: `[t]`, in sigma of each direction.
    """

    directions: tuple[Direction, ...]
    amounts: Float[Tensor, "t"]


def moved_codes(
    codes: Float[Tensor, "n *shape"],
    moves: Sequence[Moves],
    *,
    batch_size: int,
    only: Sequence[Sequence[int]] | None = None,
) -> Iterator[tuple[Float[Tensor, "m *shape"], Int[Tensor, "4 m"]]]:
    """Codes moved by every amount but 0 along every direction, in full batches.

    Args:
        codes: `[n, *shape]`.
        moves: One after the other, each forward first; batches run across them.
        batch_size: Codes at a time.
        only: For each of `moves`, the numbers of the directions to take; by default all.

    Yields:
        Codes, and for each the numbers of its moves, direction, amount and unmoved code.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> ways = tuple(Direction(str(i), row, "z") for i, row in enumerate(world.truth))
        >>> steps = Moves(ways, torch.tensor([-2.0, 0.0, 2.0]))
        >>> batches = moved_codes(world.sample(5, seed=0), [steps], batch_size=8)
        >>> [len(codes) for codes, _ in batches]
        [8, 8, 4]
    """
    only = [range(len(m.directions)) for m in moves] if only is None else only
    jobs = torch.cat([_jobs(i, m, only[i], len(codes)) for i, m in enumerate(moves)])
    for part in torch.split(jobs, batch_size):
        groups = dict.fromkeys(map(tuple, part[:, :3].tolist()))
        moved = [
            moves[i].directions[k].shift(codes[rows.to(codes.device)], moves[i].amounts[t])
            for i, t, k in groups
            for rows in [part[(part[:, :3] == torch.tensor([i, t, k])).all(1), 3]]
        ]
        yield torch.cat(moved), part.T[[0, 2, 1, 3]]


def _jobs(number: int, moves: Moves, only: Sequence[int], n: int) -> Int[Tensor, "j 4"]:
    """Number of the moves, amount, direction and code of every image."""
    ahead, back = moves.amounts > 0, moves.amounts < 0
    amounts = torch.cat([ahead.nonzero()[:, 0], back.nonzero()[:, 0]])
    listed = torch.tensor(list(only), dtype=torch.long)
    return torch.cartesian_prod(torch.tensor([number]), amounts, listed, torch.arange(n))
