"""An executor in this process that reaches its function as other processes are reached."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator

from directions.executors import Executor
from directions.executors.base import Result, Task
from directions.executors.sending import Worker, packed

__all__ = ["Turned"]


class Turned(Executor):
    """Sends function, tasks and results through bytes, some tasks ahead of the results."""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """What the function makes of each task."""
        worker = Worker(packed(function))
        for task in [pickle.dumps(task) for task in tasks]:
            yield pickle.loads(worker(task))
