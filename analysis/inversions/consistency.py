"""Latent consistency: an edited image inverted again and edited back.

Where codes lie in the region in which edits hold, an edit f of the code found, its image, the
inversion of that image and the edit undone lead back to the code: ‖w − f⁻¹(E(G(f(w))))‖ (LEC of
Tov, Alaluf, Nitzan, Patashnik, Cohen-Or 2021, arXiv:2102.02766). The official code takes plain
distances and the mean over the middle 98 % of them; here coordinates are standardized, so that
distances of different spaces can be compared and unrelated codes of the prior lie √2 apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked, checked_fields
from directions.bank import DirectionBank
from directions.errors import LatdirError, SpaceError, described, real_number
from directions.inversion import Inversion, Typicality

__all__ = ["LatentConsistency", "latent_consistency"]

TRIMMED = 0.01


@checked_fields
@dataclass(frozen=True, eq=False)
class LatentConsistency:
    """How far codes are from themselves after edit, image, inversion and the edit undone.

    Attributes:
        directions: Names of the directions.
        distances: `[k, n]`, root mean square of the standardized coordinates of the differences.
    """

    directions: tuple[str, ...]
    distances: Float[Tensor, "k n"]

    @property
    def trimmed(self) -> Float[Tensor, "k"]:
        """Mean of each direction without the smallest and the largest hundredth."""
        ordered = self.distances.sort(1).values
        n = ordered.shape[1]
        left_out = int(TRIMMED * n)
        return ordered[:, left_out : n - left_out].mean(1)


@checked
def latent_consistency(
    inversion: Inversion,
    bank: DirectionBank,
    invert: Callable[[Tensor], Inversion],
    *,
    amount: float = 2.0,
) -> LatentConsistency:
    """Edit the codes found, invert the edited images, undo the edit, and compare the codes.

    Args:
        inversion: The codes.
        bank: Directions that move them.
        invert: Inverts images into the same space, such as
            `lambda images: directions.invert(generator, images)`.
        amount: Length of the edit, in sigma.

    Raises:
        LatdirError: Another generator's bank, an inversion into another space, or an amount at
            which no image is inverted.

    Example:
        >>> import directions
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> again = lambda images: directions.invert(world, images, start="mean")
        >>> found = again(world.synthesize(world.sample(2, seed=1)))
        >>> bank = DirectionBank(
        ...     (directions.Direction("factor_0", world.truth[0], "z"),), "w", world.fingerprint
        ... )
        >>> bool(latent_consistency(found, bank, again).distances.max() < 1e-3)
        True
    """
    generator = inversion.generator
    bank.check(generator)
    real_number(amount, "amount")
    near = Typicality.of(generator, inversion.space)
    distances = []
    for direction in bank.directions:
        moved = direction.shift(inversion.codes, amount)
        with torch.no_grad():
            parts = [generator.synthesize(p, inversion.space) for p in torch.split(moved, 16)]
        found = invert(torch.cat(parts))
        if not isinstance(found, Inversion):
            raise LatdirError(
                f"invert returned {described(found)}, not an Inversion: give a function such as "
                "lambda images: directions.invert(generator, images)"
            )
        if found.space != inversion.space or len(found) != len(inversion):
            raise SpaceError(
                f"invert returned {len(found)} codes of {found.space} for {len(inversion)} images "
                f"whose codes are of {inversion.space}: invert them as those were"
            )
        back = direction.shift(found.codes, -amount)
        apart = near.scaled(back - inversion.codes).square().mean(1).sqrt()
        if not apart.isfinite().any():
            raise LatdirError(
                f"no image edited by {amount:g} sigma of {direction.name!r} could be inverted: "
                "give a smaller amount"
            )
        distances.append(apart)
    if not distances:
        raise LatdirError("the bank has no directions to edit with")
    return LatentConsistency(tuple(bank), torch.stack(distances).float().cpu())
