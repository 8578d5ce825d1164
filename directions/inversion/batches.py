"""What is done with each batch of images: solve, restart, judge."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from directions.devices import moved
from directions.errors import LatdirError
from directions.executors import Local
from directions.inversion.base import Inverter, Solved
from directions.inversion.objective import Objective
from directions.inversion.starts import Start
from directions.progress import tqdm
from directions.scoring.rendering import Rendering

__all__ = ["BATCH", "Job", "Part"]

log = logging.getLogger(__name__)

BATCH = 16
# Below this PSNR an image is not one of the generator's: its own are found far above.
RANGE = 35.0
# Below this one it is started again: local minima of the generator's own images reach 20 to 40.
AGAIN = 45.0
# Of the distances of codes of the prior, the quantile that still is typical; and how many codes.
TYPICAL, TYPICAL_CODES = 0.95, 512
# Steps of the search for the best typical code.
TYPICAL_STEPS = 15


@dataclass(frozen=True, eq=False)
class Part:
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
class Job:
    """What is done with each batch."""

    solver: Inverter
    restarts: int
    seed: int

    def batches(self, objective: Objective, start: Start, rendering: Rendering) -> Iterator[Part]:
        """The results, batch by batch; in half the batch where memory is short."""
        if rendering.executor.remote:
            yield from self._sent(objective, start, rendering)
            return
        done, size, n = 0, rendering.batch_size or BATCH, len(objective)
        bar = tqdm(total=n, desc="invert", unit="image", delay=1, disable=not rendering.progress)
        with bar:
            while done < n:
                end, made = min(done + size, n), None
                index = torch.arange(done, end, device=objective.observed.device)
                try:
                    made = self.run(objective.of(index), start.of(slice(done, end)))
                except torch.OutOfMemoryError as error:
                    if end - done == 1:
                        raise LatdirError(
                            f"there is not enough memory on {index.device} to invert one image of "
                            f"{objective.generator.name}: {error}"
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

    def _sent(self, objective: Objective, start: Start, rendering: Rendering) -> Iterator[Part]:
        """The results of an executor's other processes."""
        n, size = len(objective), rendering.batch_size or BATCH
        tasks = [(first, min(first + size, n)) for first in range(0, n, size)]
        quiet = replace(rendering, progress=False, executor=Local())
        found = rendering.executor.map(_Batch(self, objective, start, quiet), tasks)
        bar = tqdm(found, total=len(tasks), desc="invert", unit="batch", delay=1,
                   disable=not rendering.progress)  # fmt: skip
        for parts in bar:
            yield from moved(parts, objective.observed.device)

    def run(self, objective: Objective, start: Start) -> Part:
        """The results of one batch."""
        begun = time.perf_counter()
        n = len(objective)
        name = type(start).__name__.lower()
        codes = self._finite(objective, start.first(objective, seed=self.seed))
        solved = self.solver.solve(objective, codes, seed=self.seed)
        starts, total = [name] * n, solved.steps.clone()
        quality = self._quality(objective, solved)
        for attempt in range(1, self.restarts + 1):
            again = (~self._above(AGAIN, objective, solved, quality)).nonzero()[:, 0]
            if not len(again):
                break
            part = objective.of(again)
            codes = self._finite(part, start.next(part, attempt=attempt, seed=self.seed))
            retried = self.solver.retry(part, codes, seed=self.seed)
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
        return Part(
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
        if objective.features is None and not objective.prior:
            # The cost is the mean squared difference itself.
            found = 10 * (4 / solved.costs.clamp_min(1e-30)).log10()
        else:
            found = objective.psnr(solved.codes)
        return torch.where(finite, found, torch.nan)

    def _above(self, limit: float, objective: Objective, solved: Solved, quality: Tensor) -> Tensor:
        """Images above a PSNR, or as near as the target or the noise asks."""
        return (quality >= limit) | (solved.costs <= max(self.solver.goal, objective.level))

    def _statuses(self, objective: Objective, solved: Solved, quality: Tensor) -> tuple[str, ...]:
        inside = self._above(RANGE, objective, solved, quality)
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


@dataclass(frozen=True, eq=False)
class _Batch:
    """The results of some of the images, by their first and the one after their last."""

    job: Job
    objective: Objective
    start: Start
    rendering: Rendering

    def __call__(self, rows: tuple[int, int]) -> list[Part]:
        index = torch.arange(*rows, device=self.objective.observed.device)
        objective, start = self.objective.of(index), self.start.of(slice(*rows))
        found: list[Part] = moved([*self.job.batches(objective, start, self.rendering)], "cpu")
        return found
