"""Moved codes against the loop over directions, amounts and codes."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from directions import Direction
from directions.scoring.moved import Moves, moved_codes


@settings(deadline=None, max_examples=25)
@given(batch=st.integers(1, 30), n=st.integers(1, 5), seed=st.integers(0, 99))
def test_every_move_occurs_once_and_is_that_of_the_loop(batch, n, seed):
    rng = torch.Generator().manual_seed(seed)
    codes = torch.randn(n, 6, generator=rng)
    ways = tuple(
        Direction.from_vector(str(i), torch.randn(6, generator=rng), space="z", sigma=1.0 + i)
        for i in range(4)
    )
    moves = (
        Moves(ways[:2], torch.tensor([-1.0, 0.0, 0.5, 2.0])),
        Moves(ways[2:], torch.tensor([0.0, 3.0])),
    )
    met, sizes = {}, []
    for moved, where in moved_codes(codes, moves, batch_size=batch):
        sizes.append(len(moved))
        for code, place in zip(moved, where.T.tolist(), strict=True):
            assert tuple(place) not in met
            met[tuple(place)] = code
    assert len(met) == n * (2 * 3 + 2 * 1)
    assert all(size == batch for size in sizes[:-1])
    for (i, k, t, row), code in met.items():
        expected = moves[i].directions[k].shift(codes[row : row + 1], moves[i].amounts[t])[0]
        torch.testing.assert_close(code, expected)
    order = list(met)
    assert order == sorted(order, key=lambda job: job[0])


def test_only_some_directions():
    ways = tuple(Direction(str(i), row, "z") for i, row in enumerate(torch.eye(3)))
    moves = Moves(ways, torch.tensor([0.0, 1.0]))
    batches = moved_codes(torch.zeros(2, 3), [moves, moves], batch_size=9, only=[[2], []])
    [(moved, where)] = batches
    assert moved.tolist() == [[0, 0, 1], [0, 0, 1]]
    assert where.T.tolist() == [[0, 2, 1, 0], [0, 2, 1, 1]]
