"""Removal of dependence between directions, geometric or measured.

Three ways, from the cheapest to the most telling:

* `condition` projects directions onto the complement of others, so that moving along one leaves
  the others' linear scores alone (InterFaceGAN, Shen et al. 2020, arXiv:2005.09635, section 3.2;
  any number of conditions, by their Gram system).
* `orthonormalize` makes a whole bank orthogonal, in order (QR) or as little as possible
  (Löwdin 1950).
* `disentangle` (in `mixing.py`) mixes the bank's directions so that the *measured* effects become
  diagonal. Small cosines are no evidence of disentangled effects; this works on the evidence. With
  `labelers`, `condition` measures the effects itself, by all of them (`measured.py`).

The plain metric is `a · b`. With a `Prior` as metric it is `aᵀ Σ b`, the covariance of the codes'
projections on a and b: orthogonal directions are then uncorrelated over the prior. For a standard
normal z the two agree.

Values that a change invalidates are dropped: a changed direction loses its offset and its
calibration, its evidence moves to `evidence["original"]`, and sigma is measured anew. It keeps its
name and method; `evidence` records the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from directions.arguments import checked
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.classifiers.panel import check_apart, labelers_beside
from directions.direction import Direction
from directions.disentangling.measured import independent
from directions.disentangling.mixing import disentangle
from directions.disentangling.vectors import (
    LEAST_KEPT,
    evolved,
    gram_and_condition,
    in_metric,
    new_sigma,
    one_layer_range,
    rows,
)
from directions.errors import LatdirError, UnknownNameError
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering
from directions.space import Prior

__all__ = ["condition", "disentangle", "orthonormalize"]


@checked
def condition(
    bank: DirectionBank,
    *,
    on: Mapping[str, Sequence[str]] | Sequence[str],
    metric: Prior | None = None,
    prior: Prior | None = None,
    generator: Generator | None = None,
    labelers: Sequence[Classifier] = (),
    judge: Classifier | None = None,
    rendering: Rendering = Rendering(),
    rename: bool = False,
) -> DirectionBank:
    """Remove from directions their components along others, or their effects on others' attributes.

    n' = n - Cᵀ (C M Cᵀ)⁻¹ C M n, normalized, where C's rows are the conditions and M is the
    metric (the identity, or the prior's covariance). All conditions are taken unchanged from
    the bank, before any of them is changed. With labelers, effects take the place of components:
    each direction is mixed with the bank's others until the mean effect that the labelers measure
    on each condition's attribute vanishes (`directions.disentangling.independent`).

    Args:
        bank: Directions of one space.
        on: For each direction to change, the names to take out of it; or one list for the whole
            bank, of which each direction is conditioned on all but itself.
        metric: None for the plain metric, a prior for the covariance metric.
        prior: Prior to measure the new sigma with. Not needed where all directions involved have
            the same sigma, as in a standard normal z.
        generator: Makes the images for the labelers.
        labelers: Classifiers, best several of independent origin. By default, where a judge is
            given, the built-in ones that it is independent of.
        judge: The classifier that is to judge the result; it takes no part and stays independent.
        rendering: How the images are made.
        rename: Call the results `smiling | yaw, male`, so that both kinds fit in one bank.

    Returns:
        The bank with the directions named changed and the others as they were. Each changed one
        has `evidence["conditioned"]`: `on`, `kept` (norm that remained, in the metric; one minus
        nothing shared), `cosine` to the original, and the conditions' `condition_number`. With
        labelers it has the evidence `disentangled` of `disentangle`, and `labelers` in it.

    Raises:
        LatdirError: An unknown name, conditions that depend on one another, a direction of which
            nothing remains, or the new sigma cannot be determined; labelers without a generator
            or with a metric, or the reverse; a judge that is one of the labelers.

    Example:
        >>> bank = DirectionBank(
        ...     (
        ...         Direction("smiling", torch.tensor([0.8, 0.6]), "z"),
        ...         Direction("yaw", torch.tensor([0.0, 1.0]), "z"),
        ...     ),
        ...     generator="toy",
        ...     fingerprint="0" * 64,
        ... )
        >>> condition(bank, on={"smiling": ["yaw"]})["smiling"].vector
        tensor([1., 0.])
    """
    if not isinstance(on, Mapping):
        listed = [bank[name].name for name in on]
        on = {name: [other for other in listed if other != name] for name in bank}
        on = {name: others for name, others in on.items() if others}
    for name, others in on.items():
        _check_conditions(bank[name].name, [bank[other].name for other in others])
    if judge is not None:
        about = dict.fromkeys(bank[n].name for name, held in on.items() for n in (name, *held))
        labelers = labelers or labelers_beside(judge, list(about))
        for labeler in labelers:
            check_apart(judge, labeler)
    if labelers or generator is not None:
        if metric is not None:
            raise LatdirError("labelers measure effects, where a metric has no part: leave it out")
        measured = _measured(bank, on, generator, labelers, rendering)
        names = {d: f"{d} | {', '.join(others)}" for d, others in on.items() if rename}
        return measured.replaced(
            d.evolve(name=names.get(d.name, d.name)) for d in measured.directions
        )
    made = {
        name: _conditioned(bank[name], bank.select(others), metric, prior, rename)
        for name, others in on.items()
    }
    return bank.replaced(made.get(d.name, d) for d in bank.directions)


def _check_conditions(name: str, others: Sequence[str]) -> None:
    if not others:
        raise LatdirError(f"{name!r} is conditioned on nothing: name at least one")
    if name in others:
        raise LatdirError(f"{name!r} cannot be conditioned on itself: take it off the list")


def _measured(
    bank: DirectionBank,
    on: Mapping[str, Sequence[str]],
    generator: Generator | None,
    labelers: Sequence[Classifier],
    rendering: Rendering,
) -> DirectionBank:
    if generator is None or not labelers:
        given, lacking = ("labelers", "generator") if labelers else ("a generator", "labelers")
        raise LatdirError(
            f"{given} without {lacking}: give both to condition on measured effects, such as "
            "generator=generator, labelers=[load_classifier('face-ensemble')]; or neither"
        )
    return independent(bank, generator=generator, labelers=labelers, on=on, rendering=rendering)


def _conditioned(
    direction: Direction,
    conditions: DirectionBank,
    metric: Prior | None,
    prior: Prior | None,
    rename: bool,
) -> Direction:
    names = list(conditions)
    n = rows([direction], direction)[0]
    C = rows(conditions.directions, direction)
    inner = in_metric(metric, direction.space, n.numel())
    products, number = gram_and_condition(C, inner, names)
    projected = n - torch.linalg.solve(products, C @ inner(n)) @ C
    kept = float((projected @ inner(projected)).clamp_min(0).sqrt() / (n @ inner(n)).sqrt())
    if kept < LEAST_KEPT:
        raise LatdirError(
            f"nothing is left of {direction.name!r} once {', '.join(names)} "
            f"{'is' if len(names) == 1 else 'are'} taken out (it keeps {kept:.2g} of its length): "
            "condition on fewer"
        )
    cosine = float(n @ projected / (n.norm() * projected.norm()))
    vector = projected.reshape(direction.vector.shape)
    return evolved(
        direction,
        vector,
        sigma=new_sigma(vector, [direction, *conditions.directions], prior or metric),
        key="conditioned",
        record={"on": names, "kept": kept, "cosine": cosine, "condition_number": number}
        | ({"metric": "covariance"} if metric else {"metric": "plain"}),
        name=f"{direction.name} | {', '.join(names)}" if rename else direction.name,
    )


@checked
def orthonormalize(
    bank: DirectionBank,
    *,
    order: str = "qr",
    metric: Prior | None = None,
    prior: Prior | None = None,
) -> DirectionBank:
    """Make all directions of a bank orthogonal to one another.

    Args:
        bank: Directions of one space, put in order of importance for `qr`.
        order: `qr` keeps the first and removes from each its components along those before it;
            `lowdin` treats all equally and changes them as little as possible in least squares.
        metric: None for the plain metric, a prior for the covariance metric.
        prior: Prior to measure the new sigma with, as in `condition`.

    Returns:
        The bank, each direction with `evidence["orthonormalized"]`: `order`, `metric` and the
        `cosine` to the original.

    Raises:
        LatdirError: Directions that depend on one another, or another order.

    Example:
        >>> bank = DirectionBank(
        ...     (
        ...         Direction("a", torch.tensor([1.0, 0.0]), "z"),
        ...         Direction("b", torch.tensor([0.6, 0.8]), "z"),
        ...     ),
        ...     generator="toy",
        ...     fingerprint="0" * 64,
        ... )
        >>> orthonormalize(bank).matrix()
        tensor([[1., 0.],
                [0., 1.]])
    """
    if order not in ("qr", "lowdin"):
        raise UnknownNameError(f"no order {order!r}: use 'qr' or 'lowdin'")
    bank.matrix()
    one_layer_range(bank.directions)
    first = bank.directions[0]
    V = rows(bank.directions, first)
    inner = in_metric(metric, first.space, V.shape[1])
    products, _ = gram_and_condition(V, inner, list(bank))
    if order == "qr":
        # The Gram matrix's Cholesky factor is Rᵀ with a positive diagonal, so that signs keep.
        lower = torch.linalg.cholesky(products)
        orthogonal = torch.linalg.solve_triangular(lower, V, upper=False)
    else:
        values, vectors = torch.linalg.eigh(products)
        orthogonal = (vectors / values.sqrt()) @ vectors.T @ V
    cosines = torch.cosine_similarity(V, orthogonal)
    record = {"order": order, "metric": "covariance" if metric else "plain"}
    return bank.replaced(
        evolved(
            d,
            vector := row.reshape(d.vector.shape),
            sigma=new_sigma(vector, bank.directions, prior or metric),
            key="orthonormalized",
            record={**record, "cosine": float(cosine)},
        )
        for d, row, cosine in zip(bank.directions, orthogonal, cosines, strict=True)
    )
