"""Images to codes: starts, solver, restarts and verdicts, one batch after another."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_kinds
from directions.errors import LatdirError, SpaceError, whole_number
from directions.generators.base import Generator, check_generator
from directions.generators.checks import check_seed
from directions.inversion.base import Inversion, Inverter, Solved
from directions.inversion.checks import check_differentiable, check_observed
from directions.inversion.objective import Degradation, Objective
from directions.inversion.solvers import find_solver
from directions.inversion.starts import Given, Ridge, Start, find_start
from directions.inversion.typicality import Typicality
from directions.progress import tqdm
from directions.scoring.features import Features
from directions.scoring.rendering import Rendering

__all__ = ["BATCH", "described_run", "invert"]

log = logging.getLogger(__name__)

BATCH = 16
# Below this PSNR an image is not one of the generator's: its own are found far above.
RANGE = 35.0
# Of the distances of codes of the prior, the quantile that still is typical; and how many codes.
TYPICAL, TYPICAL_CODES = 0.95, 512
# Steps of the search for the best typical code.
TYPICAL_STEPS = 15


@checked_kinds
def invert(
    generator: Generator,
    images: Tensor,
    *,
    space: str | None = None,
    solver: str | Inverter = "auto",
    start: str | Start | Tensor | None = None,
    degradation: Degradation | None = None,
    features: Features | None = None,
    restarts: int = 2,
    seed: int = 0,
    rendering: Rendering = Rendering(),
) -> Inversion:
    """Codes whose images are the given ones, as nearly as the generator can make them.

    Each image is inverted by itself: results depend on the batch by rounding only. The best
    iterate is kept, and an image that stays below 35 dB is started again.

    Args:
        generator: Makes the images; differentiable.
        images: `[n, 3, H, W]` in [-1, 1], of the generator's size; or what a degradation made
            of such. A tensor, or an array.
        space: Space of the codes; by default w where the generator has it, else its first.
        solver: A name from `directions.inversion.SOLVERS` or an `Inverter`. `auto` is
            `hybrid`: L-BFGS, then Levenberg–Marquardt.
        start: `ridge` (a regression fitted once to the generator's own samples, the default),
            `best`, `mean`, a `Start`, or codes `[n, *space.shape]`.
        degradation: What the images have gone through, such as a mask; by default nothing.
        features: Squared distance of these is minimized, such as `lpips_features()`; by
            default pixels.
        restarts: New starts of an image below 35 dB, at most.
        seed: Of samples that starts are chosen from.
        rendering: `batch_size`, by default 16, and `progress`.

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
    name = generator.space(space or generator.default_space("w")).name
    observed = check_observed(generator, images, degradation)
    method = find_solver("hybrid" if solver == "auto" else solver)
    if method.gradients:
        check_differentiable(generator, name)
    chosen = _start(generator, start, name, len(observed))
    objective = Objective(
        generator, name, observed, Typicality.of(generator, name), degradation, features
    ).weighed()
    # JᵀJ of pixels says nothing of other features.
    metric = method.preconditioned and features is None
    fit = chosen.prepared(objective, metric=metric)
    if metric and fit is not None and fit.metric.numel():
        objective = replace(objective, metric=fit.metric)
    job = _Job(method, restarts, seed)
    parts = list(_batches(job, objective, chosen, rendering))
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


def _batches(
    job: _Job, objective: Objective, start: Start, rendering: Rendering
) -> Iterator[_Part]:
    """The results, batch by batch; in half the batch where memory is short."""
    done, size, n = 0, rendering.batch_size or BATCH, len(objective)
    bar = tqdm(total=n, desc="invert", unit="image", delay=1, disable=not rendering.progress)
    with bar:
        while done < n:
            end, made = min(done + size, n), None
            index = torch.arange(done, end, device=objective.observed.device)
            try:
                made = job.run(objective.of(index), start.of(slice(done, end)))
            except torch.OutOfMemoryError as error:
                if end - done == 1:
                    raise LatdirError(
                        f"there is not enough memory on {objective.observed.device} to invert one "
                        f"image of {objective.generator.name}: {error}"
                    ) from error
                size = (end - done) // 2
                log.warning("out of memory with %d images at a time: now %d", end - done, size)
            if made is None:
                # Outside the handler, whose traceback holds the tensors.
                if objective.observed.is_cuda:
                    torch.cuda.empty_cache()
                continue
            bar.update(end - done)
            done = end
            yield made


def _start(
    generator: Generator, start: str | Start | Tensor | None, space: str, count: int
) -> Start:
    if isinstance(start, Tensor):
        codes = generator.check(start.detach(), space)
        if len(codes) != count:
            raise SpaceError(
                f"{len(codes)} codes to start from for {count} images: give one each, such as "
                "codes[:1].expand(len(images), …)"
            )
        return Given(codes)
    return find_start(Ridge() if start is None else start)


@dataclass(frozen=True, eq=False)
class _Part:
    """The results of a batch, as in `Inversion`."""

    codes: Tensor
    costs: Tensor
    psnr: Tensor
    distances: Tensor
    statuses: tuple[str, ...]
    typical_psnr: Tensor
    starts: tuple[str, ...]
    steps: Tensor
    seconds: Tensor


@dataclass(frozen=True, eq=False)
class _Job:
    """What is done with each batch."""

    solver: Inverter
    restarts: int
    seed: int

    def run(self, objective: Objective, start: Start) -> _Part:
        begun = time.perf_counter()
        n = len(objective)
        name = type(start).__name__.lower()
        codes = self._finite(objective, start.first(objective, seed=self.seed))
        solved = self.solver.solve(objective, codes, seed=self.seed)
        starts, total = [name] * n, solved.steps.clone()
        quality = self._quality(objective, solved)
        for attempt in range(1, self.restarts + 1):
            again = (~self._in_range(objective, solved, quality)).nonzero()[:, 0]
            if not len(again):
                break
            part = objective.of(again)
            codes = self._finite(part, start.next(part, attempt=attempt, seed=self.seed))
            retried = self.solver.solve(part, codes, seed=self.seed)
            total[again] += retried.steps
            better = retried.costs < solved.costs[again]
            solved.keep(again, retried.codes, retried.costs)
            solved.stationary[again[better]] = retried.stationary[better]
            for i in again[better].tolist():
                starts[i] = f"restart {attempt}"
            quality = self._quality(objective, solved)
        statuses = self._statuses(objective, solved, quality)
        typical = self._typical(objective, solved, statuses)
        taken = (time.perf_counter() - begun) / n
        return _Part(
            solved.codes,
            solved.costs,
            quality,
            objective.typicality.distances(solved.codes),
            statuses,
            typical,
            tuple(starts),
            total,
            torch.full((n,), taken),
        )

    def _finite(self, objective: Objective, codes: Tensor) -> Tensor:
        """The codes, with the mean in place of those of images that are not finite."""
        finite = codes.flatten(1).isfinite().all(1)
        shaped = finite.reshape(-1, *[1] * (codes.ndim - 1))
        return torch.where(shaped, codes, objective.typicality.center(codes))

    def _quality(self, objective: Objective, solved: Solved) -> Float[Tensor, "n"]:
        finite = solved.costs.isfinite()
        return torch.where(finite, objective.psnr(solved.codes), torch.nan)

    def _in_range(self, objective: Objective, solved: Solved, quality: Tensor) -> Tensor:
        return (quality >= RANGE) | (solved.costs <= max(self.solver.goal, objective.level))

    def _statuses(self, objective: Objective, solved: Solved, quality: Tensor) -> tuple[str, ...]:
        inside = self._in_range(objective, solved, quality)
        statuses = []
        for i in range(len(objective)):
            if not torch.isfinite(solved.costs[i]):
                statuses.append("failed")
            elif not inside[i]:
                statuses.append("out of range" if self.restarts else "stagnated")
            elif solved.costs[i] <= self.solver.goal or solved.stationary[i]:
                statuses.append("converged")
            else:
                statuses.append("unfinished")
        return tuple(statuses)

    def _typical(
        self, objective: Objective, solved: Solved, statuses: tuple[str, ...]
    ) -> Float[Tensor, "n"]:
        """The PSNR of the best code within the distances of the prior, where out of range."""
        found = torch.full_like(solved.costs, torch.nan)
        rows = torch.tensor([i for i, s in enumerate(statuses) if s == "out of range"])
        if len(rows):
            near = objective.typicality
            codes = objective.generator.sample(TYPICAL_CODES, seed=self.seed, space=objective.space)
            radius = float(near.distances(codes).quantile(TYPICAL))
            part = replace(objective.of(rows.to(found.device)), radius=radius)
            begin = near.within(solved.codes[rows], radius)
            steps = min(TYPICAL_STEPS, self.solver.steps)
            made = replace(self.solver, steps=steps).solve(part, begin, seed=self.seed)
            found[rows] = self._quality(part, made)
        return found
