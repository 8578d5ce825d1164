"""Names of unlabeled directions from measured effects, tested against chance.

A direction is named after the attribute it moves most, compared with random directions of
the same space, drawn like differences of codes. Its t-value is its effect over the root mean square
of theirs: a random direction and its opposite are equally likely, so their mean is known to be
zero, and R of them give R degrees of freedom. The effect of a random direction is a projection of
one vector on another, close to normal in many dimensions and bounded in few: √d is the largest t
there is, so in a space of a dozen dimensions little can be distinguished from chance.

With k directions and a attributes, k · a tests are made at once. They are corrected by Benjamini
and Hochberg's procedure (J. R. Stat. Soc. B 1995), which bounds the expected share of wrong names
by `alpha`; it holds for independent and positively dependent tests, such as those of attributes
that move together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from analysis.edits.effects import Effects, effects_of
from analysis.edits.held_out import HeldOut, moves_of
from analysis.edits.nulls import NullKind, RandomMoves, RandomNull, curves_beside_random
from directions.arguments import checked, checked_fields
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.direction import Direction
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering
from directions.seeds import NAMING_SEED

__all__ = ["NamedDirection", "Naming", "name_directions"]

SAME_LINE = 0.9
SAME_EFFECT = 0.9
SAME_ATTRIBUTE_LINE = 0.5
BEST_RATIO = 100.0


@dataclass(frozen=True)
class NamedDirection:
    """Naming result of one direction.

    Attributes:
        name: Proposed name, unique: `yaw`, `yaw.2`, `unknown.1`.
        attribute: The attribute it is named after; None for an unknown one.
        found_as: Its name in the bank that was given.
        method: Method that found it.
        flipped: Whether it was negated so that + raises the attribute.
        effect: Change of its strongest attribute per sigma, in that one's standard deviations.
        leakage: Mean absolute change of the others per sigma, in their standard deviations.
        ratio: Effect over leakage, with the leakage at least its standard error and at least a
            hundredth of the effect: beyond 100 nothing is distinguished.
        t: Effect over the root mean square effect of random directions.
        p: Chance that a random direction moves that attribute as far, before correction.
        q: The same corrected for all directions and attributes (Benjamini-Hochberg).
        null: What the random directions were drawn from, as `RandomNull.kind`.
        also: Other attributes that it moves further than chance, strongest first.
        duplicates: `found_as` of the directions that were merged into it.
        profile: Change of every attribute per sigma, in its standard deviations.
    """

    name: str
    attribute: str | None
    found_as: str
    method: str
    flipped: bool
    effect: float
    leakage: float
    ratio: float
    t: float
    p: float
    q: float
    null: NullKind
    also: tuple[str, ...]
    duplicates: tuple[str, ...]
    profile: dict[str, float]


@checked_fields
@dataclass(frozen=True, eq=False)
class Naming:
    """A bank with names, best first.

    Attributes:
        bank: The directions renamed, signed and ranked by effect per leakage, named ones before
            unknown ones; of duplicates the best. Evidence `naming` holds the entry.
        entries: One a direction of `bank`, in its order.
        effects: Effects of the original bank, on the scale of log-odds.
        t: `[k, a]`, t-values in the order of `effects`; NaN for constant attributes.
        q: `[k, a]`, corrected p-values.
        alpha: Expected share of wrong names.
    """

    bank: DirectionBank
    entries: tuple[NamedDirection, ...]
    effects: Effects
    t: Float[Tensor, "k a"]
    q: Float[Tensor, "k a"]
    alpha: float

    @property
    def found(self) -> tuple[str, ...]:
        """Attributes that some direction is named after, best first."""
        names = (e.attribute for e in self.entries)
        return tuple(dict.fromkeys(n for n in names if n is not None))

    def as_dict(self) -> dict[str, Any]:
        """The entries, as JSON values."""
        null = self.entries[0].null if self.entries else None
        return {"alpha": self.alpha, "null": null, "directions": [asdict(e) for e in self.entries]}


@checked
def name_directions(
    generator: Generator,
    classifier: Classifier,
    bank: DirectionBank,
    *,
    attributes: Sequence[str] | None = None,
    alpha: float = 0.01,
    step: float = 2.0,
    null: int | RandomNull = 48,
    count: int = 128,
    seed: int = NAMING_SEED,
    rendering: Rendering = Rendering(),
) -> Naming:
    """Name directions by their measured effects, merge duplicates, and rank.

    Two directions are duplicates when they are within 26° of one line (cosine 0.9), or when they
    are named after one attribute, their effects agree (cosine of the profiles 0.9) and they are
    within 60°, which random ones of many dimensions never do; angles between spaces do not exist
    and are excluded.

    Args:
        generator: Makes the images.
        classifier: Scores them.
        bank: The directions; several methods' banks together with `merge(…, prefix="sefa/")`.
        attributes: Attributes to name after; by default all of the classifier's.
        alpha: Expected share of wrong names.
        step: Length of the step, in sigma, taken both ways.
        null: Number of random directions for each space and set of layers, at least 3; or their
            effects, measured already, for a bank of one space and set of layers. Several such
            banks may share one; `random_null(…, null="sphere")` gives uniform ones.
        count: Number of codes.
        seed: Seed of the codes. Measure the named bank on codes of another.
        rendering: How images are made.

    Returns:
        The named bank, with an entry for each direction.

    Raises:
        LatdirError: An alpha outside (0, 1), no attribute that varies, a null that was measured
            otherwise or of other spaces, or as `measure_effects` and `random_null`.
    """
    if not 0 < alpha < 1:
        raise LatdirError(f"alpha {alpha} must be in (0, 1): a usual one is 0.01")
    held_out = HeldOut.of(
        generator,
        classifier,
        bank,
        attributes=attributes,
        count=count,
        seed=seed,
        rendering=rendering,
    )
    kinds = [(d.space, d.layers) for d in bank.directions]
    moves = moves_of(bank, (-step, step))
    distinct = list(dict.fromkeys(kinds))
    if isinstance(null, RandomNull):
        [curves], nulls = held_out.curves(moves), [null] * len(distinct)
    else:
        random = RandomMoves(step, symmetric=True, count=null)
        curves, nulls = curves_beside_random(held_out, moves, random, distinct)
    effects = effects_of(curves, step=step, symmetric=True)
    if isinstance(null, RandomNull):
        _check_null(null, effects, kinds)
    scale = torch.full(effects.mean.shape, torch.nan)
    freedom = torch.zeros(len(bank), 1, dtype=torch.float64)
    for kind, chance in zip(distinct, nulls, strict=True):
        rows = [k for k, own in enumerate(kinds) if own == kind]
        means = chance.logit.effects.mean
        scale[rows] = means.square().mean(0).sqrt()
        freedom[rows] = len(means)
    return _named(bank, effects.logit, scale, freedom, nulls[0].kind, alpha=alpha)


def _check_null(null: RandomNull, effects: Effects, kinds: Sequence[tuple[str, object]]) -> None:
    null.matching(effects)
    spaces = {*null.effects.curves.spaces}
    if len(set(kinds)) > 1 or spaces != {kinds[0][0]}:
        raise LatdirError(
            f"the null is of the space {', '.join(sorted(spaces))}, the bank of "
            f"{', '.join(f'{s} (layers {i})' for s, i in dict.fromkeys(kinds))}: leave the null "
            "out, or name the directions of each space and set of layers separately"
        )
    mine, theirs = null.effects.source, effects.source
    # Batches and progress bars may differ.
    if mine.as_dict() != theirs.as_dict() or null.effects.names != effects.names:
        raise LatdirError(
            f"the null was measured on {mine.count} codes of seed {mine.seed} in {mine.precision} "
            f"for {', '.join(null.effects.names)}; the effects on {theirs.count} of seed "
            f"{theirs.seed} in {theirs.precision} for {', '.join(effects.names)}: "
            "measure both in the same way, or leave the null out"
        )


def _named(
    bank: DirectionBank,
    effects: Effects,
    scale: Tensor,
    freedom: Tensor,
    null: NullKind,
    *,
    alpha: float,
) -> Naming:
    """Names, merges and ranks.

    Args:
        bank: The directions.
        effects: Their effects.
        scale: `[k, a]`, root mean square effects of random directions.
        freedom: `[k, 1]`, their number.
        null: What they were drawn from.
        alpha: Expected share of wrong names.
    """
    varying = (effects.std > 0) & (scale > 0).all(0)
    if not varying.any():
        raise LatdirError(
            f"none of {', '.join(effects.names)} varies over the held-out codes: "
            "there is nothing to name directions after"
        )
    t = torch.where(varying, effects.mean / scale, torch.nan)
    p = torch.full_like(t, torch.nan, dtype=torch.float64)
    beyond = stats.t.sf(t[:, varying].abs().double().numpy(), freedom.numpy())
    p[:, varying] = torch.from_numpy(2 * beyond)
    q = torch.full_like(p, torch.nan)
    corrected = stats.false_discovery_control(p[:, varying].flatten().numpy())
    q[:, varying] = torch.from_numpy(corrected).reshape(len(bank), -1)

    profiles = torch.where(varying, effects.standardized, torch.nan)
    errors = effects.deltas.std(1) / math.sqrt(effects.source.count) / effects.std
    entries = [
        _entry(d, effects.names, profiles[k], errors[k], t[k], p[k], q[k], null, alpha)
        for k, d in enumerate(bank.directions)
    ]
    order = sorted(
        range(len(entries)),
        key=lambda k: (
            entries[k].attribute is None,
            -entries[k].ratio if entries[k].attribute else 0.0,
            -entries[k].t,
        ),
    )
    leaders: dict[int, list[int]] = {}
    for k in order:
        same = (i for i in leaders if _duplicates(bank, entries, profiles, i, k))
        leaders.setdefault(next(same, k), []).append(k)

    counts: dict[str, int] = {}
    final, directions = [], []
    for k, members in leaders.items():
        stem = entries[k].attribute or "unknown"
        counts[stem] = counts.get(stem, 0) + 1
        plain = counts[stem] == 1 and entries[k].attribute is not None
        name = stem if plain else f"{stem}.{counts[stem]}"
        merged = tuple(entries[i].found_as for i in members if i != k)
        entry = replace(entries[k], name=name, duplicates=merged)
        own = bank.directions[k]
        turned = -own if entry.flipped else own
        directions.append(
            turned.evolve(name=name, evidence={**own.evidence, "naming": _stored(entry)})
        )
        final.append(entry)
    return Naming(bank.replaced(directions), tuple(final), effects, t, q.float(), alpha)


def _entry(
    direction: Direction,
    names: Sequence[str],
    profile: Tensor,
    errors: Tensor,
    t: Tensor,
    p: Tensor,
    q: Tensor,
    null: NullKind,
    alpha: float,
) -> NamedDirection:
    top = int(t.abs().nan_to_num(-1).argmax())
    sign = -1.0 if float(t[top]) < 0 else 1.0
    others = torch.arange(len(names)) != top
    others &= ~profile.isnan()
    leakage = float(profile[others].abs().mean()) if others.any() else 0.0
    noise = float(errors[others].mean()) if others.any() else float(errors[top])
    effect = float(profile[top]) * sign
    strongest = t.abs().nan_to_num(-1).argsort(descending=True).tolist()
    known = float(q[top]) <= alpha
    return NamedDirection(
        name=direction.name,
        attribute=names[top] if known else None,
        found_as=direction.name,
        method=direction.method,
        flipped=known and sign < 0,
        effect=effect,
        leakage=leakage,
        ratio=effect / max(leakage, noise, effect / BEST_RATIO) if effect > 0 else 0.0,
        t=float(t[top]) * sign,
        p=float(p[top]),
        q=float(q[top]),
        null=null,
        also=tuple(names[a] for a in strongest if a != top and float(q[a]) <= alpha),
        duplicates=(),
        profile={
            name: value * (sign if known else 1.0)
            for name, value in zip(names, profile.tolist(), strict=True)
            if not math.isnan(value)
        },
    )


def _duplicates(
    bank: DirectionBank, entries: Sequence[NamedDirection], profiles: Tensor, i: int, k: int
) -> bool:
    a, b = bank.directions[i], bank.directions[k]
    comparable = (a.space, a.layers, a.vector.shape) == (b.space, b.layers, b.vector.shape)
    cosine = abs(float(a.vector.flatten() @ b.vector.flatten().to(a.vector))) if comparable else 0.0
    if cosine >= SAME_LINE:
        return True
    if entries[i].attribute is None or entries[i].attribute != entries[k].attribute:
        return False
    first, second = (profiles[j].nan_to_num() for j in (i, k))
    alike = torch.nn.functional.cosine_similarity(first, second, dim=0).abs() >= SAME_EFFECT
    return bool(alike) and (not comparable or cosine >= SAME_ATTRIBUTE_LINE)


def _stored(entry: NamedDirection) -> dict[str, Any]:
    """The entry as stored in a bank file: JSON values, without the direction's own fields."""
    values = asdict(entry)
    del values["name"], values["method"]
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
