"""Mixing a bank's directions by their measured effects.

A bank's steps, with the measured effect of each on the attributes, make a small linear model of
editing: amounts c (in sigma) move the codes by Sᵀ c and the attributes by Eᵀ c. `disentangle`
inverts it for whole directions, `solver.py` for one edit at a time. In whitened amounts
y = Lᵀ c, with S Sᵀ = L Lᵀ, the length of y is the distance traveled in the latent space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.bank import DirectionBank
from directions.disentangling.vectors import (
    LEAST_KEPT,
    RANK_TOLERANCE,
    evolved,
    gram_and_condition,
    new_sigma,
    one_layer_range,
    rows,
)
from directions.errors import LatdirError, UnknownNameError
from directions.space import Prior

__all__ = ["Mixture", "checked_effects", "column_numbers", "disentangle"]

BISECTIONS = 80


@dataclass(frozen=True, eq=False)
class Mixture:
    """A bank's one-sigma steps and the change of variable that measures their mixes.

    Attributes:
        steps: `[k, d]`, sigma times the unit vector of each direction, float64.
        unwhiten: `[k, k]`, takes whitened amounts y to amounts c = L⁻ᵀ y in sigma.
    """

    steps: Float[Tensor, "k d"]
    unwhiten: Float[Tensor, "k k"]

    @classmethod
    def of(cls, bank: DirectionBank) -> Mixture:
        """The mixture of a bank of one space.

        Raises:
            LatdirError: Its directions depend on one another, or differ in space or layers.
        """
        bank.matrix()
        one_layer_range(bank.directions)
        unit = rows(bank.directions, bank.directions[0]).cpu()
        gram_and_condition(unit, lambda v: v, list(bank))
        sigma = torch.tensor([d.sigma for d in bank.directions], dtype=torch.float64)
        steps = sigma[:, None] * unit
        lower = torch.linalg.cholesky(steps @ steps.T)
        return cls(steps, torch.linalg.inv(lower).T.contiguous())


@checked
def disentangle(
    bank: DirectionBank,
    *,
    effects: Float[Tensor, "k a"],
    attributes: Sequence[str] | None = None,
    targets: Mapping[str, str] | None = None,
    hold: Sequence[str] | None = None,
    ridge: float = 0.0,
    least_cosine: float | None = None,
    prior: Prior | None = None,
) -> DirectionBank:
    """Mix a bank's directions until each moves its own attribute and, as measured, no other.

    A mix with amounts c (in sigma) of the steps s_k = sigma_k v_k moves the codes by Sᵀ c and,
    to first order, the attributes by Eᵀ c. Of all mixes that leave the held attributes alone,
    the one nearest to the original step, in latent distance, is

        c = argmin (c - e_i)ᵀ S Sᵀ (c - e_i)   subject to   E_heldᵀ c = 0.

    With `ridge` the constraint is a penalty ‖E_heldᵀ c‖² / ridge: noise in small effects is then
    not followed to the end.

    Args:
        bank: Directions of one space. Those that are not a target serve as ingredients.
        effects: Measured change of each attribute per sigma of each direction, in units of the
            attribute's standard deviation. Rows follow the bank.
        attributes: Names of its columns; by default the bank's own names.
        targets: Attribute that each direction is meant for; by default the one of its name.
        hold: Attributes to preserve; by default all but the target.
        ridge: Leakage tolerated, in squared effect per latent unit; 0 removes it entirely.
        least_cosine: Stay within this cosine of the original and remove what leakage that
            allows; `ridge` is raised as far as it must be, for each direction.
        prior: Prior to measure the new sigma with, as in `condition`.

    Returns:
        The bank with its targets changed. Each has `evidence["disentangled"]`: `target`, `held`,
        `mix` (amounts of the ingredients, in sigma), `cosine` to the original, `effect_kept` (per
        sigma), `leakage_before` and `leakage_after` (largest held effect over the target's), and
        the `ridge` used. They are predictions: measure the result on held-out codes.

    Raises:
        LatdirError: Effects of another shape, unknown names, directions that depend on one
            another, or no mix that moves the target and holds the others.

    Example:
        >>> from directions import Direction
        >>> bank = DirectionBank(
        ...     (
        ...         Direction("smiling", torch.tensor([1.0, 0.0]), "z"),
        ...         Direction("yaw", torch.tensor([0.0, 1.0]), "z"),
        ...     ),
        ...     generator="toy",
        ...     fingerprint="0" * 64,
        ... )
        >>> measured = torch.tensor([[0.8, 0.6], [0.0, 1.0]])
        >>> mixed = disentangle(bank, effects=measured)["smiling"]
        >>> mixed.vector
        tensor([ 0.8575, -0.5145])
        >>> [round(mixed.evidence["disentangled"][k], 3) for k in ("effect_kept", "leakage_after")]
        [0.857, 0.0]
    """
    columns = list(bank) if attributes is None else list(attributes)
    E = checked_effects(effects, bank=bank, attributes=columns)
    if targets is None:
        targets = {name: name for name in bank if name in columns}
    if not targets:
        raise LatdirError(
            f"no direction is named after an attribute ({', '.join(columns)}): "
            "name the attribute of each with targets={'direction': 'attribute'}"
        )
    if ridge < 0 or (least_cosine is not None and not 0 < least_cosine < 1):
        raise LatdirError(
            f"ridge {ridge} must not be negative and least_cosine {least_cosine} must be "
            "between 0 and 1"
        )
    mixture = Mixture.of(bank)
    made = {}
    for name, target in targets.items():
        wanted = columns if hold is None else hold
        held = [a for a in wanted if a != target]
        own, others = column_numbers([target], columns)[0], column_numbers(held, columns)
        i = list(bank).index(bank[name].name)
        before = E[i, own]
        if not held or before == 0:
            reason = "there is nothing to hold" if not held else f"it does not move {target!r}"
            raise LatdirError(f"{name!r} cannot be disentangled: {reason}")
        mix, strength = _nearest(mixture, i, E[:, others], ridge, least_cosine)
        vector = mix @ mixture.steps
        length = float(vector.norm())
        cosine = float(vector @ mixture.steps[i] / mixture.steps[i].norm()) / max(length, 1e-300)
        if length < LEAST_KEPT * float(mixture.steps[i].norm()):
            raise LatdirError(
                f"no mix of {', '.join(bank)} moves {target!r} and leaves {', '.join(held)} "
                "alone: hold fewer attributes, add directions, or allow some leakage with ridge="
            )
        vector = vector.reshape(bank[name].vector.shape)
        sigma = new_sigma(vector, bank.directions, prior)
        after = mix @ E * (sigma / length)
        made[name] = evolved(
            bank[name],
            vector,
            sigma=sigma,
            key="disentangled",
            record={
                "target": target,
                "held": held,
                "mix": dict(zip(bank, (mix * (sigma / length)).tolist(), strict=True)),
                "cosine": cosine,
                "effect_kept": float(after[own] / before),
                "leakage_before": float((E[i, others] / before).abs().max()),
                "leakage_after": float((after[others] / after[own]).abs().max()),
                "ridge": strength,
            },
        )
    return bank.replaced(made.get(d.name, d) for d in bank.directions)


def _nearest(
    mixture: Mixture, i: int, leaks: Tensor, ridge: float, least_cosine: float | None
) -> tuple[Float[Tensor, "k"], float]:
    """The mix nearest to step i that does not leak, and the ridge used.

    In whitened amounts y, whose length is the latent distance, the answer is y_i with each right
    singular direction w_j of the leakage shrunk by s_j² / (s_j² + ridge).
    """
    _, s, Wh = torch.linalg.svd(leaks.T @ mixture.unwhiten, full_matrices=False)
    y = torch.linalg.solve(mixture.unwhiten, torch.eye(len(leaks), dtype=leaks.dtype)[i])
    seen = s > RANK_TOLERANCE * s.max().clamp_min(1e-300)
    s, Wh = s[seen], Wh[seen]
    along = Wh @ y

    def shrunk(strength: float) -> Tensor:
        left: Tensor = y - (s.square() / (s.square() + strength) * along) @ Wh
        return left

    def cosine(strength: float) -> float:
        left = shrunk(strength)
        return float(left @ y / (left.norm() * y.norm()).clamp_min(1e-300))

    if least_cosine is not None and len(s) and cosine(ridge) < least_cosine:
        scale = float(s[0].square())
        low, high = math.log(max(ridge, 1e-12 * scale)), math.log(1e12 * scale)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if cosine(math.exp(middle)) < least_cosine else (low, middle)
        ridge = math.exp(high)
    return mixture.unwhiten @ shrunk(ridge), ridge


def checked_effects(
    effects: Tensor, *, bank: DirectionBank, attributes: Sequence[str]
) -> Float[Tensor, "k a"]:
    """An effect matrix in double precision, once its shape and entries are sound.

    Raises:
        LatdirError: Another shape, or entries that are not finite.
    """
    if tuple(effects.shape) != (len(bank), len(attributes)):
        raise LatdirError(
            f"effects have shape {list(effects.shape)}, but there are {len(bank)} directions and "
            f"{len(attributes)} attributes: give one row per direction, one column per attribute, "
            "and attributes=[…] where they are not the bank's names"
        )
    if not torch.isfinite(effects).all():
        k, a = torch.argwhere(~torch.isfinite(effects))[0].tolist()
        raise LatdirError(
            f"the effect of {list(bank)[k]!r} on {attributes[a]!r} is {float(effects[k, a])}: "
            "measure it again, or leave that attribute out"
        )
    checked: Tensor = effects.detach().double().cpu()
    return checked


def column_numbers(names: Sequence[str], attributes: Sequence[str]) -> list[int]:
    """Columns of attributes.

    Raises:
        LatdirError: An attribute that was not measured.
    """
    for name in names:
        if name not in attributes:
            raise UnknownNameError(
                f"no effect on {name!r} was measured: there are {', '.join(attributes)}"
            )
    return [list(attributes).index(name) for name in names]
