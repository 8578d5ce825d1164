"""Search of amounts on the images of codes: what is asked, and what came of it.

`corrections.py` has the iteration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.direction import as_amount
from directions.disentangling.mixing import Mixture
from directions.editing.corrections import Points, Task, approach
from directions.editing.moves import space_of
from directions.editing.ranges import Bound, at_ends, ranges_of
from directions.editing.response import Response, ScoredEffects, measure_response
from directions.editing.solution import BEYOND_BOUND, NO_BETTER, Level, Solution
from directions.errors import LatdirError, SpaceError
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.space import as_codes

__all__ = ["search"]

CERTAIN = 1e-3  # a probability is driven no further than this to 0 or 1


def search(
    bank: DirectionBank,
    codes: Float[Tensor, "n *shape"] | np.ndarray,
    *,
    targets: Mapping[str, float | Tensor | Level],
    hold: Sequence[str],
    effects: object,
    bound: Bound,
    generator: Generator,
    classifier: Classifier,
    rendering: Rendering,
) -> Solution:
    """The best amounts found for each code; arguments as in `solve`.

    For many codes one after another, `effects` may be a `Response` to these directions with the
    targets and what is held as its attributes: then nothing is measured on codes of the prior.

    Raises:
        LatdirError: Effects without units, a level of another unit, codes that do not fit, or
            attributes that the classifier does not have.
    """
    if effects is not None and not isinstance(effects, ScoredEffects | Response):
        raise LatdirError(
            "on images, effects is what analysis.measure_effects returned for this bank; leave it "
            "out to have them measured"
        )
    bank.check(generator)
    mixture = Mixture.of(bank)
    names = [*targets, *hold]
    codes = as_codes(codes)
    [space, *others] = sorted({space_of(generator, codes, d) for d in bank.directions})
    if others or not len(codes):
        raise SpaceError("directions of one space move at least one code: select those of one")
    columns = classifier.columns(names)
    low, high = ranges_of(bank, bound, linear=False)
    scorer = Scorer(generator, classifier, space=space, names=names, rendering=rendering)
    response = (
        effects
        if isinstance(effects, Response)
        else measure_response(
            generator,
            scorer,
            bank,
            attributes=[classifier.attributes[c] for c in columns],
            effects=effects,
        )
    )
    task = Task(
        bank,
        codes,
        scorer,
        response,
        torch.tensor([name in hold for name in names]),
        torch.zeros(len(codes), len(names), dtype=torch.float64),
        low,
        high,
        float(bound) if isinstance(bound, int | float) else torch.inf,
        torch.linalg.cholesky(mixture.steps @ mixture.steps.T),
    )
    everyone = torch.arange(len(codes))
    start = task.measure(everyone, torch.zeros(len(codes), len(bank), dtype=torch.float64))
    wanted = torch.stack([*_wanted(targets, start, response), *start.values.T[len(targets) :]], 1)
    task = replace(task, aims=_possible(wanted, response))
    best = approach(task, start, progress=rendering.progress)
    changes, asked = ((v - start.values) / response.std for v in (best.values, wanted))
    reached = ((wanted - best.values).abs() <= response.tolerance * response.std).all(1)
    distance = (best.amounts @ task.lower).norm(dim=1)
    reasons = [
        ""
        if reached[row]
        else _impossible(wanted[row], response)
        or at_ends(best.amounts[row], low, high, list(bank))
        or (BEYOND_BOUND if float(distance[row]) > 0.95 * task.distance else NO_BETTER)
        for row in range(len(codes))
    ]
    return Solution(
        {name: best.amounts[:, k] for k, name in enumerate(bank)},
        {name: changes[:, a] for a, name in enumerate(names)},
        distance,
        {name: asked[:, a] for a, name in enumerate(names)},
        tuple(reasons),
        {name: best.scores[:, a] for a, name in enumerate(names)},
        dict(zip(names, response.tolerance.tolist(), strict=True)),
        dict(zip(names, response.std.tolist(), strict=True)),
    )


def _wanted(
    targets: Mapping[str, float | Tensor | Level], start: Points, response: Response
) -> list[Float[Tensor, "n"]]:
    """The value of each target to reach."""
    n = len(start.values)
    made = []
    for a, (name, target) in enumerate(targets.items()):
        attribute, spread = response.attributes[a], response.std[a]
        given = target.value if isinstance(target, Level) else target
        numbers = torch.as_tensor(as_amount(given), dtype=torch.float64).detach().cpu()
        if numbers.ndim > 1 or (numbers.ndim == 1 and len(numbers) not in (1, n)):
            raise LatdirError(
                f"the target of {name!r} has shape {list(numbers.shape)}: give one number, or one "
                f"for each of the {n} codes"
            )
        if not torch.isfinite(numbers).all():
            raise LatdirError(f"the target of {name!r} is NaN or infinite: give a number")
        if not isinstance(target, Level):
            made.append(start.values[:, a] + numbers * spread)
            continue
        if target.unit not in ("", attribute.unit):
            raise LatdirError(
                f"{name!r} is measured in {attribute.unit or 'no unit'}, not {target.unit!r}: "
                f"give Level(…, {attribute.unit!r})"
            )
        if attribute.kind == "probability" and ((numbers < 0) | (numbers > 1)).any():
            raise LatdirError(f"{name!r} is a probability: give a level within 0 … 1")
        numbers = numbers.expand(n)
        if response.scale == "logit":
            numbers = response.logits(numbers[:, None].repeat(1, len(response.attributes)))[:, a]
        made.append(numbers)
    return made


def _possible(wanted: Float[Tensor, "n a"], response: Response) -> Float[Tensor, "n a"]:
    """What to drive at: probabilities stay off 0 and 1."""
    if response.scale == "logit":
        return wanted
    bounded = torch.tensor([a.kind == "probability" for a in response.attributes])
    return torch.where(bounded, wanted.clamp(CERTAIN, 1 - CERTAIN), wanted)


def _impossible(wanted: Float[Tensor, "a"], response: Response) -> str:
    """Which probability was asked to leave 0 … 1; empty where none was."""
    if response.scale == "logit":
        return ""
    return ", ".join(
        f"{attribute.name} is a probability and cannot be {value:.2f}"
        for attribute, value in zip(response.attributes, wanted.tolist(), strict=True)
        if attribute.kind == "probability" and not 0 <= value <= 1
    )
