"""Smallest edits that reach target changes of some attributes and hold others.

Predicted from measured effects (`linear.py`), or measured and corrected on the image of each code
(`search.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier, names_of
from directions.editing.linear import MeasuredEffects, predict
from directions.editing.ranges import Bound
from directions.editing.search import search
from directions.editing.solution import Level, Solution
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering

__all__ = ["solve"]


@checked
def solve(
    bank: DirectionBank,
    *,
    targets: Mapping[str, float | Tensor | Level],
    effects: Float[Tensor, "k a"] | MeasuredEffects | None = None,
    attributes: Sequence[str] | None = None,
    hold: Sequence[str] = (),
    bound: Bound = "range",
    codes: Float[Tensor, "n *shape"] | np.ndarray | None = None,
    generator: Generator | None = None,
    classifier: Classifier | None = None,
    rendering: Rendering = Rendering(),
) -> Solution:
    """Amounts along a bank's directions that change some attributes and hold others.

    From `effects` alone the changes are predicted, one solution for all codes, and as good as
    effects are linear. With `codes`, `generator` and `classifier` every code gets its own: its
    image is made and scored, and the amounts are corrected, until the targets are met and the held
    attributes are where they were, within the noise of the classifier (at most 0.1 standard
    deviations).

    Args:
        bank: Directions of one space.
        targets: Wanted change of each attribute, in the units of `effects`, which are standard
            deviations where they are measured: a number, or one for each code. On images also
            `Level(50, "years")`, the attribute's own value.
        effects: Measured change of each attribute per sigma of each direction; rows follow the
            bank. Or what `analysis.measure_effects` returned for the bank. On images they may be
            left out, and are measured on 128 codes.
        attributes: Names of the columns of a tensor; by default the bank's own names.
        hold: Attributes that must not change. Others are free to.
        bound: By default, predicted amounts stay within the linear range that each direction is
            calibrated with, and amounts tried on images, or of directions without calibration,
            within 3 sigma. Or ranges in sigma, `{"smiling": (-2, 2)}` or what
            `analysis.linear_ranges` returns; or the longest distance to travel, in latent units,
            in their place; None for no bound.
        codes: `[n, *shape]`, of the space that the directions move.
        generator: Makes the images.
        classifier: Scores them; it has the targets and the held attributes.
        rendering: How images are made.

    Returns:
        The shortest move that does it; hand it to `move`. On images, the best that was found for
        each code: `reached` tells where it did, and `remarks` how far the others came and what
        stopped them.

    Raises:
        InfeasibleError: By prediction the targets cannot be met together, or not within the bound;
            the message says what can be reached and `best` holds the amounts for it.
        LatdirError: Unknown attributes, or effects that do not fit the bank.

    Example:
        >>> import torch
        >>> from directions import Direction, move
        >>> from directions.planted.world import planted
        >>> bank = DirectionBank(
        ...     (
        ...         Direction("smiling", torch.tensor([1.0, 0.0]), "z"),
        ...         Direction("yaw", torch.tensor([0.0, 1.0]), "z"),
        ...     ),
        ...     generator="toy",
        ...     fingerprint="0" * 64,
        ... )
        >>> measured = torch.tensor([[0.8, 0.6], [0.0, 1.0]])
        >>> found = solve(bank, targets={"smiling": 1.6}, hold=["yaw"], effects=measured)
        >>> {name: round(float(amount), 3) for name, amount in found.amounts.items()}
        {'smiling': 2.0, 'yaw': -1.2}
        >>> solve(bank, targets={"smiling": 1.6}, hold=["yaw"], effects=measured, bound=1.0)
        Traceback (most recent call last):
        ...
        directions.editing.solution.InfeasibleError: smiling +1.6 cannot be reached within a
        distance of 1 with yaw held: the best is smiling +0.686; raise the bound (2.33 would do),
        hold fewer attributes, or ask for less

        On the images of a generator whose second factor is curved:

        >>> world = planted(factors=2, dim=8, bend=0.5)
        >>> own = DirectionBank.of(
        ...     world, [Direction(n, v, "z") for n, v in zip(world.names, world.truth)]
        ... )
        >>> codes = world.sample(3, seed=1)
        >>> found = solve(own, targets={"factor_0": Level(1.5)}, hold=["factor_1"], codes=codes,
        ...               generator=world, classifier=world.classifier())
        >>> found
        Solution(3 of 3 codes reach factor_0, factor_1)
        >>> bool(((world.factors(move(codes, own, found))[:, 0] - 1.5).abs() < 0.15).all())
        True
    """
    if not targets:
        raise LatdirError("no targets: give some, such as targets={'smiling': 1.0}")
    held = names_of(hold)
    both = [name for name in targets if name in held]
    if both:
        raise LatdirError(f"{both[0]!r} cannot be a target and held at once: take it off one list")
    if codes is not None and generator is not None and classifier is not None:
        return search(
            bank,
            codes,
            targets=targets,
            hold=held,
            effects=effects,
            bound=bound,
            generator=generator,
            classifier=classifier,
            rendering=rendering,
        )
    if codes is not None or generator is not None or classifier is not None:
        raise LatdirError(
            "a solution on images takes all of codes=, generator= and classifier=: give the rest, "
            "or leave them out and give effects="
        )
    changes: dict[str, float | Tensor] = {}
    for name, target in targets.items():
        if isinstance(target, Level):
            raise LatdirError(
                f"the value of {name!r} is reached on images only: give codes=, generator= and "
                "classifier=, or the change wanted as a number"
            )
        changes[name] = target
    if effects is None:
        raise LatdirError(
            "nothing says what the directions do: give effects=analysis.measure_effects(generator, "
            "classifier, bank), or codes=, generator= and classifier="
        )
    return predict(
        bank, targets=changes, hold=held, effects=effects, attributes=attributes, bound=bound
    )
