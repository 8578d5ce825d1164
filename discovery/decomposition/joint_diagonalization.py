"""Orthonormal bases that jointly diagonalize many symmetric matrices approximately.

Jean-François Cardoso, Antoine Souloumiac: Jacobi Angles for Simultaneous Diagonalization, SIAM
J. Matrix Anal. Appl. 17 (1996). Plane rotations, each of the angle that is best for all matrices
together; disjoint planes are rotated at the same time (round-robin order), which changes nothing,
since their decreases of the objective are independent.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import ConvergenceError

__all__ = ["diagonalize", "off_diagonal"]

MAX_SWEEPS = 100
# Relative fall of the objective in a sweep at which to stop, and the objective that is rounding.
# Angles do not serve: between axes that hardly matter they stay large and change nothing.
LEAST_FALL, ROUNDING = 1e-4, 1e-24


def off_diagonal(matrices: Float[Tensor, "n d d"]) -> float:
    """Fraction of the matrices' squared entries off their diagonals, 0 when diagonal.

    Example:
        >>> off_diagonal(torch.ones(1, 2, 2)), off_diagonal(torch.eye(2)[None])
        (0.5, 0.0)
    """
    squares = matrices.square()
    total = float(squares.sum())
    across = squares - torch.diag_embed(squares.diagonal(dim1=1, dim2=2))
    return float(across.sum()) / total if total else 0.0


def diagonalize(
    matrices: Float[Tensor, "n d d"], *, start: Float[Tensor, "d d"] | None = None
) -> Float[Tensor, "d d"]:
    """Minimize the summed squares off the diagonals of A Mᵢ Aᵀ over orthonormal A.

    Args:
        matrices: Symmetric.
        start: Orthonormal rows to start from; by default the axes.

    Returns:
        Orthonormal rows, float64: a local minimum, at which a sweep gains less than 1e-4.

    Raises:
        LatdirError: No convergence.

    Example:
        >>> turn = torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
        >>> diagonals = torch.diag_embed(torch.tensor([[1.0, 2.0], [5.0, 1.0]]))
        >>> found = diagonalize(turn.T @ diagonals @ turn)
        >>> (found.float() @ turn.T).abs().round(decimals=4).sort().values.tolist()
        [[0.0, 1.0], [0.0, 1.0]]
    """
    size = matrices.shape[1]
    axes = torch.eye(size, dtype=torch.float64, device=matrices.device)
    a = axes if start is None else start.double().clone()
    m = a @ matrices.double() @ a.T  # A Mᵢ Aᵀ, kept up to date by the rotations
    rounds = [pair.to(matrices.device) for pair in _round_robin(size)]
    after = off_diagonal(m)
    for _ in range(MAX_SWEEPS):
        for p, q in rounds:
            angle = _angles(m, p, q)
            c, s = angle.cos(), angle.sin()
            # M ← R M Rᵀ by rows and then columns, A ← R A.
            for rows in (m, m.mT, a[None]):
                _rotate(rows, p, q, c, s)
        before, after = after, off_diagonal(m)
        if before - after <= LEAST_FALL * before or after < ROUNDING:
            return a
    raise ConvergenceError(
        f"joint diagonalization still improves after {MAX_SWEEPS} sweeps, from {before:.6g} to "
        f"{after:.6g} of the squares off the diagonal: use more samples"
    )


def _angles(m: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """The best rotation in each plane, in closed form."""
    # G = Σᵢ h hᵀ with h = (m_pp − m_qq, m_pq + m_qp): on = G₁₁ − G₂₂, off = G₁₂ + G₂₁. Its leading
    # eigenvector is (cos 2θ, sin 2θ) for the best angle θ, so that tan 4θ = off / on.
    difference, across = m[:, p, p] - m[:, q, q], m[:, p, q] + m[:, q, p]
    on = difference.square().sum(0) - across.square().sum(0)
    off = 2 * (difference * across).sum(0)
    angle: Tensor = 0.5 * torch.atan2(off, on + torch.hypot(on, off))
    # A plane in which nothing but rounding is left is as diagonal as it gets.
    floor = torch.finfo(m.dtype).eps * m.square().sum()
    return torch.where(off.abs() > floor, angle, torch.zeros_like(angle))


def _rotate(m: Tensor, p: Tensor, q: Tensor, c: Tensor, s: Tensor) -> None:
    """Turn rows p and q into each other, in place."""
    rows_p, rows_q = m[:, p], m[:, q]
    m[:, p] = c[:, None] * rows_p + s[:, None] * rows_q
    m[:, q] = c[:, None] * rows_q - s[:, None] * rows_p


def _round_robin(size: int) -> list[Tensor]:
    """Rounds of disjoint pairs that hold every pair once, `[2, pairs]` each."""
    players = [*range(size), *([-1] if size % 2 else [])]
    rounds = []
    for _ in range(len(players) - 1):
        half = len(players) // 2
        facing = zip(players[:half], reversed(players[half:]), strict=True)
        pairs = [pair for pair in facing if -1 not in pair]
        if pairs:
            rounds.append(torch.tensor(pairs).T)
        players = [players[0], players[-1], *players[1:-1]]
    return rounds
