"""Disentangling by measured effects: effect matrix first, then the mix.

Text directions orthogonal in the latent space may change the same attributes. Here a bank's
steps are measured on codes of their own, by any classifier, and `directions.disentangle` mixes
them until each moves its own attribute and, as measured, no other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.disentangling.mixing import disentangle
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.progress import tqdm
from directions.scoring.moved import Moves, moved_codes
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer

__all__ = ["independent", "step_effects"]


def step_effects(
    generator: Generator,
    classifier: Classifier,
    bank: DirectionBank,
    *,
    codes: Float[Tensor, "n *shape"],
    step: float = 2.0,
    rendering: Rendering = Rendering(),
) -> Float[Tensor, "k a"]:
    """Mean change of each attribute per sigma of each direction, on the scale of log-odds.

    Args:
        generator: Makes the images.
        classifier: Scores them.
        bank: Directions of one space.
        codes: Where to measure, at least two.
        step: Length of the step taken both ways, in sigma.
        rendering: How images are made.

    Returns:
        In standard deviations of each attribute over the codes; 0 for one that is constant.

    Raises:
        LatdirError: Too few codes, or a bank of another generator.

    Example:
        >>> from directions import Direction
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> up = Direction("up", world.truth[0], "z")
        >>> bank = DirectionBank((up,), world.name, world.fingerprint)
        >>> found = step_effects(world, world.classifier(), bank, codes=world.sample(64, seed=0))
        >>> bool(found[0, 0] > 0.8) and bool(found[0, 1].abs() < 1e-3)
        True
    """
    if len(codes) < 2:
        raise LatdirError(f"effects on {len(codes)} codes have no scale: give at least two")
    space = bank.check(generator).directions[0].space
    scorer = Scorer(generator, space=space, embed=classifier.logits, rendering=rendering)

    moves = Moves(bank.directions, torch.tensor([-step, step], dtype=torch.float64))
    spread = scorer.embed(codes).double().std(0)
    scores = torch.empty(len(bank), 2, len(codes), len(spread)).to(spread)
    n = 2 * len(bank) * len(codes)
    hidden = not rendering.progress
    with tqdm(total=n, desc="effects", unit="image", delay=1, disable=hidden) as bar:
        batches = moved_codes(codes, [moves], batch_size=scorer.batch_size)
        for moved, (_, k, t, rows) in batches:
            scores[k, t, rows] = scorer.embed(moved).to(scores)
            bar.update(len(rows))
    effects = (scores[:, 1] - scores[:, 0]).mean(1) / (2 * step)
    return (effects / torch.where(spread > 0, spread, torch.inf)).float()


def independent(
    bank: DirectionBank,
    *,
    generator: Generator,
    classifier: Classifier,
    wanted: Sequence[str],
    codes: Float[Tensor, "n *shape"],
    ridge: float = 0.0,
    rendering: Rendering = Rendering(),
) -> DirectionBank:
    """The wanted directions, mixed with all others to preserve the others' attributes.

    Args:
        bank: Directions of one space; those not wanted are only held fixed.
        generator: Makes the images.
        classifier: Scores them; it has an attribute of each direction's name.
        wanted: Names of the directions to keep.
        codes: Where effects are measured.
        ridge: Leakage tolerated, as in `directions.disentangle`.
        rendering: How images are made.

    Returns:
        The wanted directions, with `evidence["disentangled"]`.

    Raises:
        LatdirError: A name without an attribute, or a direction of which nothing is left.

    Example:
        >>> from directions.planted.world import planted
        >>> from discovery import Gradient
        >>> world = planted(factors=2, dim=8, cosine=0.6)
        >>> found = Gradient(n_codes=64).discover(world, classifier=world.classifier())
        >>> clean = independent(found, generator=world, classifier=world.classifier(),
        ...                     wanted=["factor_0"], codes=world.sample(64, seed=1))
        >>> bool((clean["factor_0"].vector @ world.truth[1]).abs() < 0.01)
        True
    """
    columns = classifier.columns(list(bank))
    effects = step_effects(generator, classifier, bank, codes=codes, rendering=rendering)
    mixed = disentangle(
        bank,
        effects=effects[:, columns],
        targets={name: name for name in wanted},
        ridge=ridge,
        prior=generator.prior(bank.directions[0].space),
    )
    return mixed.select(wanted)
