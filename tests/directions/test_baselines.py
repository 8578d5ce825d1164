"""Random directions: one draw for the method and for the null."""

import pytest
import torch

from directions.baselines import random_directions
from directions.errors import LatdirError
from directions.planted.world import planted
from discovery import RandomDirections


@pytest.mark.parametrize("spread", ["uniform", "prior"])
def test_the_first_directions_do_not_depend_on_their_number(spread: str) -> None:
    generator = planted(factors=3, dim=12)
    few, many = (
        random_directions(generator, n_directions=n, seed=4, spread=spread) for n in (3, 11)
    )
    assert list(few) == ["random_00", "random_01", "random_02"]
    assert torch.equal(few.matrix(), many.matrix()[:3])
    method = RandomDirections(n_directions=3, spread=spread)
    assert torch.equal(method.discover(generator, seed=4).matrix(), few.matrix())


def test_none_are_refused() -> None:
    with pytest.raises(LatdirError, match="n_directions is 0: give at least 1"):
        random_directions(planted(factors=3, dim=12), n_directions=0)
