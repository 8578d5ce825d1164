"""Joint diagonalization of symmetric matrices."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from directions.numerics.eigen import eigh
from discovery.decomposition.joint_diagonalization import diagonalize, off_diagonal


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 9), st.integers(0, 10**6))
def test_recovers_a_common_eigenbasis(size: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(size, size, generator=rng, dtype=torch.float64))[0]
    diagonals = torch.diag_embed(torch.randn(5, size, generator=rng, dtype=torch.float64))
    found = diagonalize(basis.T @ diagonals @ basis)
    assert torch.allclose(found @ found.T, torch.eye(size, dtype=torch.float64), atol=1e-10)
    assert ((found @ basis.T).abs().amax(0) > 1 - 1e-6).all()


def test_one_matrix_is_an_eigenproblem() -> None:
    m = torch.randn(7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    m = m + m.T
    found = diagonalize(m[None])
    values = (found @ m @ found.T).diagonal().sort(descending=True).values
    assert torch.allclose(values, eigh(m).values, atol=1e-9)


def test_no_small_rotation_helps() -> None:
    rng = torch.Generator().manual_seed(2)
    m = torch.randn(6, 5, 5, generator=rng, dtype=torch.float64)
    m = m + m.mT
    found = diagonalize(m)
    best = off_diagonal(found @ m @ found.T)
    assert best < off_diagonal(m)
    for _ in range(50):
        skew = torch.randn(5, 5, generator=rng, dtype=torch.float64) * 1e-2
        near = torch.matrix_exp(skew - skew.T) @ found
        assert off_diagonal(near @ m @ near.T) > best


def test_rotated_matrices_give_the_rotated_basis() -> None:
    rng = torch.Generator().manual_seed(4)
    diagonals = torch.diag_embed(torch.rand(4, 6, generator=rng, dtype=torch.float64))
    noise = torch.randn(4, 6, 6, generator=rng, dtype=torch.float64) * 1e-2
    m = diagonals + noise + noise.mT
    turn = torch.linalg.qr(torch.randn(6, 6, generator=rng, dtype=torch.float64))[0]
    plain, turned = diagonalize(m), diagonalize(turn @ m @ turn.T)
    assert torch.allclose((turned @ turn @ plain.T).abs().amax(1), torch.ones(6).double())
