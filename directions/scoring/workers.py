"""Batches computed at the same time, each by a thread of its own.

Threads that share a batch wait for each other after every layer. That costs a third of their time,
and most of it where another process holds one of the cores. Threads that have a batch each wait for
nobody; each image meets the same kernels, so that its scores are the same. `python
benchmarks/busy_cores.py` measures both, beside 0 and 1 busy cores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["side_by_side", "worker_count"]

Part = TypeVar("Part")
Made = TypeVar("Made")

# Of images that are being made, whose feature maps take several times as much.
BYTES = 2**28


def worker_count(batches: int, batch_bytes: int) -> int:
    """How many batches to compute at the same time.

    Args:
        batches: How many there are.
        batch_bytes: Memory of the images of one.

    Example:
        >>> worker_count(1, 2**20)
        1
    """
    fit = max(1, BYTES // max(1, batch_bytes))
    return max(1, min(torch.get_num_threads(), batches, fit))


def side_by_side(
    work: Callable[[Part], Made], parts: Iterable[Part], *, workers: int
) -> Iterator[Made]:
    """What is made of each part, in order.

    Args:
        work: May run in several threads at once.
        parts: Taken as they are needed: one more than there are workers.
        workers: Threads, which share those that PyTorch had for one part.

    Example:
        >>> list(side_by_side(torch.sum, torch.arange(6).split(2), workers=2))
        [tensor(1), tensor(5), tensor(9)]
    """
    threads = torch.get_num_threads()
    waiting: deque[Future[Made]] = deque()
    # OpenMP counts threads for each thread that starts them.
    pool = ThreadPoolExecutor(
        workers, initializer=torch.set_num_threads, initargs=(max(1, threads // workers),)
    )
    try:
        for part in parts:
            waiting.append(pool.submit(work, part))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # of threads that begin from here on, too
