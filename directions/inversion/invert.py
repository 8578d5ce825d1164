"""Images to codes: starts, solver, restarts and verdicts, one batch after another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from directions.arguments import checked_kinds
from directions.errors import LatdirError, SpaceError, whole_number
from directions.generators.base import Generator, check_generator
from directions.generators.checks import check_seed
from directions.inversion.base import Inversion, Inverter
from directions.inversion.batches import Job
from directions.inversion.checks import check_differentiable, check_observed
from directions.inversion.encoders.base import Encoded, Encoder
from directions.inversion.encoders.files import built_in_encoder
from directions.inversion.objective import Degradation, Objective
from directions.inversion.solvers import find_solver
from directions.inversion.starts import Given, Ridge, Start, find_start
from directions.inversion.typicality import Typicality
from directions.scoring.features import Features
from directions.scoring.rendering import Rendering

__all__ = ["chosen_start", "described_run", "invert"]


@checked_kinds
def invert(
    generator: Generator,
    images: Tensor,
    *,
    space: str | None = None,
    solver: str | Inverter = "auto",
    start: str | Start | Encoder | Tensor | None = None,
    degradation: Degradation | None = None,
    features: Features | None = None,
    restarts: int = 2,
    seed: int = 0,
    rendering: Rendering = Rendering(),
) -> Inversion:
    """Codes whose images are the given ones, as nearly as the generator can make them.

    Each image is inverted by itself: results depend on the batch by rounding only. The best
    iterate is kept, and an image that stays below 45 dB is started again.

    Args:
        generator: Makes the images; differentiable.
        images: `[n, 3, H, W]` in [-1, 1], of the generator's size; or what a degradation made
            of such. A tensor, or an array.
        space: Space of the codes; by default that of an encoder to start from, else the solver's,
            w where the generator has it, else its first.
        solver: A name from `directions.inversion.SOLVERS` or an `Inverter`. `auto` is
            `hybrid`: L-BFGS, then Levenberg–Marquardt.
        start: `ridge` (a regression fitted once to the generator's own samples), `encoder` (the
            built-in one), `best`, `mean`, a `Start`, an `Encoder`, or codes `[n, *space.shape]`;
            by default the solver's, which is `ridge` but for recipes, and `encoder` instead where
            one is built in for this space and nothing is degraded.
        degradation: What the images have gone through, such as a mask; by default nothing.
        features: Squared distance of these is minimized, such as `lpips_features()`; by
            default pixels.
        restarts: New starts of an image below 45 dB, at most.
        seed: Of samples that starts are chosen from.
        rendering: `batch_size`, by default 16, `progress`, and the `executor` of the batches.

    Returns:
        Codes with cost, PSNR, distance from the prior and a status an image.

    Raises:
        LatdirError: Images of another size, range or kind, or not finite; a space the generator
            lacks; a generator through which no gradient flows; codes of another space.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(dim=8)
        >>> codes = world.sample(2, seed=1)
        >>> found = invert(world, world.synthesize(codes), start="mean")
        >>> found.statuses, bool((found.codes - codes).abs().max() < 1e-3)
        (('converged', 'converged'), True)
    """
    check_generator(generator)
    check_seed(seed, 0, 0)
    whole_number(restarts, "restarts", least=0)
    method = find_solver("hybrid" if solver == "auto" else solver)
    own = (start.space,) if isinstance(start, Encoder) else method.spaces
    name = generator.space(space or generator.default_space(*own)).name
    observed = check_observed(generator, images, degradation)
    if method.gradients:
        check_differentiable(generator, name)
    chosen = chosen_start(generator, method, start, name, degradation, len(observed))
    objective = Objective(
        generator, name, observed, Typicality.of(generator, name), degradation, features
    ).weighed()
    objective = replace(objective, prior=objective.prior + method.prior)
    # JᵀJ of pixels says nothing of other features.
    metric = chosen.metric(objective) if method.preconditioned and features is None else None
    if metric is not None:
        objective = replace(objective, metric=metric)
    if isinstance(chosen, Ridge):
        chosen = replace(chosen, fit=chosen.prepared(objective))
    else:
        chosen.prepared(objective)
    parts = list(Job(method, restarts, seed).batches(objective, chosen, rendering))
    record = described_run(generator, name, method, chosen, degradation, restarts, seed)
    record["features"] = None if features is None else getattr(features, "__qualname__", "own")
    return Inversion(
        codes=torch.cat([p.codes for p in parts]),
        space=name,
        costs=torch.cat([p.costs for p in parts]),
        psnr=torch.cat([p.psnr for p in parts]),
        distances=torch.cat([p.distances for p in parts]),
        statuses=tuple(s for p in parts for s in p.statuses),
        typical_psnr=torch.cat([p.typical_psnr for p in parts]),
        starts=tuple(s for p in parts for s in p.starts),
        steps=torch.cat([p.steps for p in parts]),
        seconds=torch.cat([p.seconds for p in parts]),
        record=record,
        generator=generator,
        degradation=degradation,
    )


def described_run(
    generator: Generator,
    space: str,
    solver: Inverter,
    start: Start,
    degradation: Degradation | None,
    restarts: int,
    seed: int,
) -> dict[str, Any]:
    """All that decides the code of an image, as JSON values."""
    return {
        "generator": generator.name,
        "fingerprint": generator.fingerprint,
        "label": getattr(generator, "label", None),
        "noise": getattr(generator, "noise", None),
        "space": space,
        **solver.config,
        **start.config,
        "degradation": None if degradation is None else dict(degradation.config),
        "restarts": restarts,
        "seed": seed,
    }


def chosen_start(
    generator: Generator,
    solver: Inverter,
    start: str | Start | Encoder | Tensor | None,
    space: str,
    degradation: Degradation | None,
    count: int,
) -> Start:
    """The start asked for, else the solver's; a built-in encoder in place of its regression."""
    if isinstance(start, Tensor):
        codes = generator.check(start.detach(), space)
        if len(codes) != count:
            raise SpaceError(
                f"{len(codes)} codes to start from for {count} images: give one each, such as "
                "codes[:1].expand(len(images), …)"
            )
        return Given(codes)
    if isinstance(start, Encoder):
        return Encoded(start)
    if start is not None and start != "encoder":
        return find_start(start)
    built_in = built_in_encoder(generator)
    if start == "encoder":
        if built_in is None:
            raise LatdirError(
                f"no encoder of {generator.name} is built in: give one as start=, such as "
                "train_encoder makes"
            )
        return Encoded(built_in)
    if built_in and built_in.space == space and not degradation and solver.start == Ridge():
        return Encoded(built_in)
    return solver.start
