"""Edit consistency: commutativity and additivity of several edits.

Edit consistency of StyleFlow (Abdal et al. 2021, arXiv:2008.02401, section 5.3): apply the edits
in permuted orders and compare a classifier's scores of the results; the paper gives the mean
absolute difference between two orders, here it is the mean over all pairs of orders, in standard
deviations of each attribute, with its interval.

Straight moves commute exactly; setting levels along directions that are not orthogonal, curved
paths, and edits chosen by looking at the image do not. What can go wrong with straight moves too
is that they do not add up: the joint change differs from the sum of the changes of each edit
alone, which is reported as `interaction`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.intervals.mean import mean_interval
from directions.arguments import checked, checked_fields
from directions.bank import DirectionBank
from directions.classifiers.base import Attribute, Classifier, logit
from directions.editing.levels import set_level
from directions.errors import LatdirError, SpaceError
from directions.generators.base import Generator
from directions.progress import tqdm
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.seeds import HELD_OUT_SEED

__all__ = ["Consistency", "Edit", "edit_consistency", "level_edits", "shift_edits"]

Edit = Callable[[Tensor], Tensor]


@checked_fields
@dataclass(frozen=True, eq=False)
class Consistency:
    """Several edits applied in several orders to the same codes.

    Attributes:
        edits: Names of the edits, in the order given.
        orders: Orders they were applied in.
        attributes: Attributes of the scores, constant ones left out.
        disagreement: `[a]`, mean |difference| between two orders, in standard deviations.
        low: `[a]`, lower ends of its intervals.
        high: `[a]`, upper ends.
        interaction: `[a]`, mean |joint change - sum of the single changes|, in standard deviations.
        interaction_low: `[a]`, lower ends of its intervals.
        interaction_high: `[a]`, upper ends.
        joint: `[a]`, mean change when all edits are applied in the order given, in standard
            deviations; signed.
        single: `[e, a]`, mean change of each edit alone, in standard deviations; signed.
        apart: Mean distance between the final codes of two orders, as a fraction of the mean
            distance that the codes have moved.
    """

    edits: tuple[str, ...]
    orders: tuple[tuple[str, ...], ...]
    attributes: tuple[Attribute, ...]
    disagreement: Float[Tensor, "a"]
    low: Float[Tensor, "a"]
    high: Float[Tensor, "a"]
    interaction: Float[Tensor, "a"]
    interaction_low: Float[Tensor, "a"]
    interaction_high: Float[Tensor, "a"]
    joint: Float[Tensor, "a"]
    single: Float[Tensor, "e a"]
    apart: float

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes."""
        return tuple(a.name for a in self.attributes)

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return {
            "edits": list(self.edits),
            "orders": [list(order) for order in self.orders],
            "attributes": list(self.names),
            "disagreement": self.disagreement.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "interaction": self.interaction.tolist(),
            "interaction_low": self.interaction_low.tolist(),
            "interaction_high": self.interaction_high.tolist(),
            "joint": self.joint.tolist(),
            "single": self.single.tolist(),
            "apart": self.apart,
        }


@checked
def shift_edits(
    bank: DirectionBank, amounts: Mapping[str, float], *, unit: str = "sigma"
) -> dict[str, Edit]:
    """Moves along directions as edits.

    Raises:
        LatdirError: A direction that the bank does not have.

    Example:
        >>> from directions import Direction
        >>> up = Direction("up", torch.tensor([0.0, 1.0]), "z")
        >>> bank = DirectionBank((up,), generator="toy", fingerprint="0" * 64)
        >>> shift_edits(bank, {"up": 2.0})["up"](torch.zeros(1, 2))
        tensor([[0., 2.]])
    """
    chosen = [(d, amounts[d.name]) for d in bank.select(amounts).directions]
    return {d.name: partial(d.shift, amount=amount, unit=unit) for d, amount in chosen}


@checked
def level_edits(bank: DirectionBank, levels: Mapping[str, float]) -> dict[str, Edit]:
    """Setting codes to levels along directions, in sigma, as edits.

    Raises:
        LatdirError: A direction that the bank does not have.
    """
    chosen = [(d, levels[d.name]) for d in bank.select(levels).directions]
    return {d.name: partial(set_level, direction=d, level=level) for d, level in chosen}


@checked
def edit_consistency(
    generator: Generator,
    classifier: Classifier,
    edits: Mapping[str, Edit],
    *,
    space: str,
    orders: int = 6,
    count: int = 128,
    seed: int = HELD_OUT_SEED,
    level: float = 0.95,
    rendering: Rendering = Rendering(),
) -> Consistency:
    """Apply edits in several orders to held-out codes, and compare the scores of the results.

    Args:
        generator: Makes the images.
        classifier: Scores them; probabilities are compared as log-odds.
        edits: Name to function of codes `[n, ...]`; at least two. `shift_edits` and
            `level_edits` make them from a bank.
        space: Space of the codes.
        orders: Number of orders, at least 2; all of them where there are no more, else the order
            given, its reverse, and others at random.
        count: Number of held-out codes.
        seed: Seed of the codes, and of the choice of orders.
        level: Confidence level of the intervals.
        rendering: How images are made.

    Returns:
        Disagreement between orders, and deviation of the joint change from the sum of all.

    Raises:
        LatdirError: Fewer than two edits or orders, an edit that changes the codes' shape, or no
            attribute that varies.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> push = {n: lambda c, t=t: c + t for n, t in zip("ab", world.truth)}
        >>> found = edit_consistency(world, world.classifier(), push, space="z", count=16)
        >>> bool(found.disagreement.max() < 1e-4), len(found.orders)
        (True, 2)
    """
    names = tuple(edits)
    if len(names) < 2 or orders < 2:
        raise LatdirError(
            f"{len(names)} edits in {orders} orders have no consistency: give at least two of each"
        )
    chosen = _orders(names, orders, seed)
    if count < 2:
        raise LatdirError(f"count {count} must be at least 2: 128 codes give useful figures")
    codes = generator.sample(count, seed=seed, space=space, truncation=rendering.psi)
    scorer = Scorer(generator, classifier, space=space, rendering=rendering)

    def score(moved: Tensor) -> Tensor:
        return logit(scorer.score(moved), classifier.attributes)

    before = score(codes)
    std = before.double().std(0).float()
    varies = before.max(0).values > before.min(0).values
    if not varies.any():
        raise LatdirError(f"no attribute of {classifier.name} varies over the held-out codes")
    std = std[varies]
    ends = [_apply(edits, codes, order) for order in chosen]
    moved = [*(_apply(edits, codes, (n,)) for n in names), *ends]
    bar = tqdm(moved, desc="consistency", unit="edit", delay=1, disable=not rendering.progress)
    found = [score(codes) for codes in bar]
    alone = torch.stack(found[: len(names)]) - before
    scores = torch.stack(found[len(names) :])[..., varies]
    before, alone = before[:, varies], alone[..., varies]

    pairs = list(itertools.combinations(range(len(chosen)), 2))
    differences = torch.stack([(scores[i] - scores[j]).abs() for i, j in pairs]).mean(0) / std
    interaction = (scores[0] - before - alone.sum(0)).abs() / std
    ways = torch.stack([end.flatten(1).double() for end in ends])
    traveled = (ways - codes.flatten(1).double()).norm(dim=2).mean()
    gaps = torch.stack([(ways[i] - ways[j]).norm(dim=1).mean() for i, j in pairs]).mean()
    return Consistency(
        names,
        chosen,
        tuple(a for a, v in zip(classifier.attributes, varies.tolist(), strict=True) if v),
        *mean_interval(differences, level=level),
        *mean_interval(interaction, level=level),
        joint=(scores[0] - before).mean(0) / std,
        single=alone.mean(1) / std,
        apart=float(gaps / traveled) if traveled > 0 else 0.0,
    )


def _apply(edits: Mapping[str, Edit], codes: Tensor, order: tuple[str, ...]) -> Tensor:
    moved = codes
    for name in order:
        moved = edits[name](moved)
        if moved.shape != codes.shape:
            raise SpaceError(
                f"edit {name!r} made codes of shape {list(moved.shape)} of {list(codes.shape)}: "
                "an edit takes and returns a batch of codes of one space"
            )
    return moved


def _orders(names: tuple[str, ...], wanted: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """The order given first, then its reverse, then others; all where there are no more."""
    if math.factorial(len(names)) <= wanted:
        return tuple(itertools.permutations(names))
    found = [names, names[::-1]]
    rng = torch.Generator().manual_seed(seed)
    while len(found) < wanted:
        drawn = tuple(names[i] for i in torch.randperm(len(names), generator=rng).tolist())
        if drawn not in found:
            found.append(drawn)
    return tuple(found)
