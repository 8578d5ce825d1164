"""The contract of executors, and the plain loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeVar

__all__ = ["Executor", "Local", "Result", "Task"]

Task = TypeVar("Task")
Result = TypeVar("Result")


class Executor(ABC):
    """Where tasks run.

    Attributes:
        remote: Whether the function is sent to other processes, where it can change nothing here.
    """

    remote: ClassVar[bool] = True

    @abstractmethod
    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """What the function makes of each task, in the order of the tasks.

        A task is computed again elsewhere when its worker dies, so the function depends on
        nothing but the task. Only a few tasks ahead of the one that is waited for are taken.

        Args:
            function: Picklable where the executor is remote, with all that it holds. Models in a
                dataclass of a function are moved to the worker's device.
            tasks: Picklable there too; taken one by one as workers are free.

        Raises:
            LatdirError: The function cannot be sent, or workers die time and again.
        """


@dataclass(frozen=True)
class Local(Executor):
    """A loop in this process.

    Example:
        >>> list(Local().map(abs, [-1, 2]))
        [1, 2]
    """

    remote = False

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """What the function makes of each task, when it is asked for."""
        return map(function, tasks)
