"""Functions on their way to workers, and the worker's end."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch

from directions.devices import moved
from directions.errors import LatdirError

__all__ = ["Worker", "packed"]

# Deaths of workers without a result in between before the reason must be the task.
DEATHS = 3


def packed(function: Callable[..., Any], dumps: Callable[[Any], bytes] = pickle.dumps) -> bytes:
    """A function and all it holds as bytes; its models on the CPU.

    Args:
        function: Models among the fields of a dataclass travel too.
        dumps: The executor's own way to pickle.

    Raises:
        LatdirError: Something in it cannot be pickled.

    Example:
        >>> packed(lambda code: code)
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: this cannot be sent to another process (...
    """
    try:
        return dumps(moved(function, "cpu"))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise LatdirError(
            f"this cannot be sent to another process ({error}): define the function or class it "
            "names in a module of its own, not in a call, a notebook or a script; or use one "
            "worker"
        ) from error


def died(count: int, where: str) -> LatdirError:
    """The error for workers that die without a result."""
    return LatdirError(
        f"{count} workers {where} died in a row: is there memory for as many copies of the "
        "models? Use fewer workers; a script of your own starts workers inside "
        "if __name__ == '__main__':"
    )


class Worker:
    """A function in a worker, prepared once.

    Args:
        function: As `packed` made it.
        threads: PyTorch's threads here; 0 leaves them.
        device: Where the function's models are moved.

    Example:
        >>> pickle.loads(Worker(packed(abs))(pickle.dumps(-3)))
        3
    """

    def __init__(self, function: bytes, threads: int = 0, device: str = "cpu") -> None:
        if threads:
            torch.set_num_threads(threads)
        self._sent, self._device = function, device

    @cached_property
    def function(self) -> Callable[[Any], Any]:
        """The function, its models on the device.

        Raises:
            LatdirError: It names something that this process cannot import.
        """
        try:
            found: Callable[[Any], Any] = moved(pickle.loads(self._sent), self._device)
        except (ImportError, AttributeError) as error:
            raise LatdirError(
                f"a worker cannot load what it was sent ({error}): put the folder of that module "
                "into PYTHONPATH, on every machine"
            ) from error
        return found

    def __call__(self, task: bytes) -> bytes:
        """The pickled result of a pickled task: tensors travel as bytes, not as shared memory."""
        return pickle.dumps(self.function(pickle.loads(task)), protocol=5)
