"""The space in which all directions of a bank move codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from directions.errors import LatdirError

if TYPE_CHECKING:
    from directions import DirectionBank
    from directions.generators import Generator

__all__ = ["common_space"]


def common_space(bank: DirectionBank, generator: Generator) -> str:
    """The space whose codes all directions move; codes with layers take those of all layers too.

    Raises:
        LatdirError: The directions move codes of several spaces, or there are none.
    """
    spaces = {d.acts_in(generator.spaces) for d in bank.directions}
    moved = sorted(s for s in spaces if f"{s}+" not in spaces)
    if not moved:
        raise LatdirError("the bank holds no directions: find some with latdir discover")
    if len(moved) > 1:
        raise LatdirError(
            f"directions of {' and '.join(moved)} cannot move one code: choose directions of one "
            "space"
        )
    return moved[0]
