"""Tasks in several processes of this machine, by the standard library alone."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

import torch

from directions.arguments import checked_fields
from directions.errors import whole_number
from directions.executors.base import Executor, Result, Task
from directions.executors.sending import DEATHS, Worker, died, packed

__all__ = ["Processes"]

AHEAD = 2  # tasks a worker that are begun or ready before they are asked for
LOOK = 2.0  # seconds between looks at the workers

_worker: Worker | None = None


@checked_fields
@dataclass(frozen=True)
class Processes(Executor):
    """A pool of processes, each with a copy of the function's models and its share of threads.

    Processes start without this one's memory, so that a script of your own needs
    `if __name__ == "__main__":` around what starts them. When one is killed its task is computed
    again; when this process is killed they end too.

    Attributes:
        workers: Number of processes.
        devices: Of the workers' models, in turns: by default all cards where the models are on
            one, else the CPU.

    Raises:
        LatdirError: No worker.

    Example:
        >>> list(Processes(1).map(abs, [-3, 4, -5]))
        [3, 4, 5]
    """

    workers: int
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        whole_number(self.workers, "workers", least=1)

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """What the function makes of each task, in the order of the tasks."""
        sent = packed(function)
        threads = max(1, torch.get_num_threads() // self.workers)
        context = _context(type(function).__module__)

        def start() -> ProcessPoolExecutor:
            turn = context.Value("i", 0)
            return ProcessPoolExecutor(
                self.workers, context, _prepare, (sent, threads, self._devices(function), turn)
            )

        pool = start()
        waiting: deque[tuple[bytes, Future[bytes]]] = deque()
        deaths = 0
        coming = iter(tasks)
        more = True
        try:
            while more or waiting:
                while more and len(waiting) < AHEAD * self.workers:
                    try:
                        task = pickle.dumps(next(coming), protocol=5)
                    except StopIteration:
                        more = False
                        break
                    waiting.append((task, _submitted(pool, task)))
                if not waiting:
                    break
                try:
                    made = _result(pool, waiting[0][1])
                except BrokenProcessPool as error:
                    deaths += 1
                    if deaths > DEATHS:
                        raise died(deaths, "of this machine") from error
                    _end(pool)
                    pool = start()
                    waiting = deque(
                        (task, future if _finished(future) else _submitted(pool, task))
                        for task, future in waiting
                    )
                    continue
                deaths = 0
                waiting.popleft()
                yield pickle.loads(made)
        finally:
            _end(pool)

    def _devices(self, function: object) -> tuple[str, ...]:
        if self.devices:
            return self.devices
        on_card = any(
            getattr(getattr(value, "device", None), "type", "") == "cuda"
            for value in getattr(function, "__dict__", {}).values()
        )
        cards = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
        return cards if on_card and cards else ("cpu",)


def _context(module: str) -> Any:
    """Processes forked by a server that has imported PyTorch and a module, and no more.

    A fork of this process would inherit its threads' locks; each process importing anew would
    take seconds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["directions.executors.sending", module])
    return context


def _submitted(pool: ProcessPoolExecutor, task: bytes) -> Future[bytes]:
    """A task given to a pool; to a broken one, a future that says so."""
    try:
        return pool.submit(_work, task)
    except (BrokenProcessPool, EOFError, OSError) as error:
        # The last two: the server that forks the workers has been killed; it is started anew.
        future: Future[bytes] = Future()
        future.set_exception(BrokenProcessPool(str(error)))
        return future


def _finished(future: Future[bytes]) -> bool:
    """Whether a result, or an error of the function itself, is there."""
    done = future.done() and not future.cancelled()
    return done and not isinstance(future.exception(), BrokenProcessPool)


def _result(pool: ProcessPoolExecutor, future: Future[bytes]) -> bytes:
    """What a future comes to.

    A worker that is killed while it sends a result leaves a part of it, of which the pool waits for
    the rest for ever.

    Raises:
        BrokenProcessPool: A worker died, and the pool did not notice from one look to the next.
    """
    dead = False
    while not wait([future], timeout=LOOK).done:
        was, dead = dead, bool(connection.wait([p.sentinel for p in _workers(pool)], timeout=0))
        if was and dead:
            raise BrokenProcessPool("a worker died while it sent a result")
    return future.result()


def _workers(pool: ProcessPoolExecutor) -> list[Any]:
    return list((getattr(pool, "_processes", None) or {}).values())


def _end(pool: ProcessPoolExecutor) -> None:
    """End a pool at once: what its processes are at is not wanted any more."""
    processes, results = _workers(pool), getattr(pool, "_result_queue", None)
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()
    if results is not None:
        # The last end that writes: what reads a part of a result sees that no more comes.
        results._writer.close()


def _prepare(function: bytes, threads: int, devices: tuple[str, ...], turn: Any) -> None:
    """What a new process does first."""
    global _worker
    # Ctrl-C reaches every process of a terminal: the one that waits decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()
    with turn.get_lock():
        number, turn.value = turn.value, turn.value + 1
    _worker = Worker(function, threads, devices[number % len(devices)])


def _follow(sentinel: int) -> None:
    """End with the process that started this one, however that ends."""
    connection.wait([sentinel])
    os._exit(1)


def _work(task: bytes) -> bytes:
    assert _worker is not None
    return _worker(task)
