"""Tasks on the machines of a Ray cluster.

The actors of Ray's core are all that a map needs: each holds the function and its models, is
started anew when it or its machine dies, and takes its task again. Ray Data, which needs pandas
and blocks of its own format, adds nothing to that.
"""

from __future__ import annotations

import logging
import pickle
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from directions.arguments import checked_fields
from directions.errors import LatdirError, real_number, require, whole_number
from directions.executors.base import Executor, Result, Task
from directions.executors.sending import DEATHS, Worker, died, packed

__all__ = ["Ray"]

IN_HAND = 2  # tasks of an actor, so that it never waits for the next
AHEAD = 4  # tasks a worker that are begun or ready before they are asked for

log = logging.getLogger(__name__)


@checked_fields
@dataclass(frozen=True)
class Ray(Executor):
    """Actors on a Ray cluster, each with a copy of the function's models.

    Needs `pip install 'latdir[ray]'` here and on every machine of the cluster.

    Attributes:
        address: Of the cluster: `auto` for the one this machine belongs to, `ray://host:10001`,
            or None, which starts one on this machine and ends it afterwards.
        workers: Number of actors; by default as many as the cluster has room for.
        num_cpus: Processors of each.
        num_gpus: Cards of each, such as 1 or 0.25; the models are on it, or on the CPU for 0.

    Raises:
        LatdirError: Numbers that are not allowed; when used, no such cluster, or Ray is missing.
    """

    address: str | None = None
    workers: int | None = None
    num_cpus: float = 1.0
    num_gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.workers is not None:
            whole_number(self.workers, "workers", least=1)
        real_number(self.num_cpus, "num_cpus", least=0.0)
        real_number(self.num_gpus, "num_gpus", least=0.0)

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """What the function makes of each task, in the order of the tasks."""
        ray: Any = require("ray", "ray")
        own = not ray.is_initialized()
        if own:
            _connect(ray, self.address, self.workers)
        try:
            yield from self._mapped(ray, function, tasks)
        finally:
            if own:
                ray.shutdown()

    def _mapped(
        self, ray: Any, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[Result]:
        sent = ray.put(packed(function, ray.cloudpickle.dumps))
        count = self.workers or self._room(ray)
        kind = ray.remote(Worker).options(
            num_cpus=self.num_cpus,
            num_gpus=self.num_gpus,
            max_restarts=-1,
            max_task_retries=DEATHS,
        )
        threads = max(1, int(self.num_cpus))
        device = "cuda" if self.num_gpus else "cpu"
        actors = [kind.remote(sent, threads, device) for _ in range(count)]
        log.info("%d actors on %d machines", count, len(ray.nodes()))
        waiting: deque[Any] = deque()
        running: dict[Any, int] = {}
        coming = iter(tasks)
        more = True
        try:
            while more or waiting:
                while more and len(waiting) < AHEAD * count:
                    load = Counter(running.values())
                    free = min(range(count), key=lambda i: load[i])
                    if load[free] >= IN_HAND:
                        break
                    try:
                        task = pickle.dumps(next(coming), protocol=5)
                    except StopIteration:
                        more = False
                        break
                    future = actors[free].__call__.remote(task)
                    waiting.append(future)
                    running[future] = free
                if not waiting:
                    break
                # The first in order, or whichever frees its actor for another task.
                done, _ = ray.wait(list(running) or [waiting[0]], num_returns=1)
                for future in done:
                    running.pop(future, None)
                while waiting and waiting[0] not in running:
                    yield pickle.loads(_got(ray, waiting.popleft()))
        finally:
            for actor in actors:
                ray.kill(actor)

    def _room(self, ray: Any) -> int:
        there = ray.cluster_resources()
        cpus = there.get("CPU", 1) / self.num_cpus if self.num_cpus else 1
        cards = there.get("GPU", 0) / self.num_gpus if self.num_gpus else cpus
        if min(cpus, cards) < 1:
            raise LatdirError(
                f"the cluster has {there.get('CPU', 0):g} processors and {there.get('GPU', 0):g} "
                f"cards: no room for a worker of {self.num_cpus:g} and {self.num_gpus:g}"
            )
        return int(min(cpus, cards))


def _connect(ray: Any, address: str | None, workers: int | None) -> None:
    """Join a cluster, or start one here."""
    own = {"num_cpus": workers, "include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="warning", **own)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise LatdirError(
            f"no Ray cluster at {address!r} ({error}): start one with `ray start --head`, or "
            "leave the address out for one on this machine"
        ) from error


def _got(ray: Any, future: Any) -> bytes:
    """The result of a task, or the error that its function raised."""
    try:
        made: bytes = ray.get(future)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayActorError as error:
        raise died(DEATHS + 1, "of the cluster") from error
    return made
