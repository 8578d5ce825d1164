"""Each executor gives a loop's results, whatever dies on the way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import directions.executors.processes as processes
from directions import LatdirError
from directions.executors import Local, Processes, Ray

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Scaled:
    """A function that holds a model."""

    net: nn.Module

    def __call__(self, task: Tensor) -> Tensor:
        return self.net(task).detach()


@dataclass(frozen=True)
class DiesOnce:
    """A function whose worker is killed at one of its tasks, the first time only."""

    mark: str
    at: int

    def __call__(self, task: int) -> int:
        if task == self.at and not os.path.exists(self.mark):
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return task**2


@dataclass(frozen=True)
class DiesSending:
    """A function whose worker is killed when it has sent half of its first result."""

    mark: str

    def __call__(self, task: int) -> int:
        if not os.path.exists(self.mark):
            Path(self.mark).touch()
            connection.Connection._send_bytes = half_sent
        return task**2


def half_sent(end: connection.Connection, data: bytes) -> None:
    os.write(end.fileno(), struct.pack("!i", len(data)) + bytes(data[: len(data) // 2]))
    os.kill(os.getpid(), signal.SIGKILL)


def fatal(task: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return task


def refused(task: int) -> int:
    raise LatdirError(f"task {task} is refused")


def test_a_loop_is_lazy() -> None:
    taken: list[int] = []
    results = Local().map(lambda task: taken.append(task) or task, [1, 2, 3])
    assert next(iter(results)) == 1
    assert taken == [1]


@pytest.mark.slow
def test_a_pool_gives_what_a_loop_gives_though_a_worker_is_killed(tmp_path: Path) -> None:
    function = DiesOnce(str(tmp_path / "mark"), 5)
    assert list(Processes(2).map(function, range(12))) == [i**2 for i in range(12)]
    assert (tmp_path / "mark").exists()
    assert not multiprocessing.active_children()


def test_half_a_result_does_not_stop_a_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOOK", 0.1)
    function = DiesSending(str(tmp_path / "mark"))
    assert list(Processes(1).map(function, range(3))) == [0, 1, 4]
    readers = [t for t in threading.enumerate() if "ExecutorManager" in type(t).__name__]
    for reader in readers:
        reader.join(20)
        assert not reader.is_alive()


def test_what_a_worker_refuses_arrives() -> None:
    with pytest.raises(LatdirError, match="task 3 is refused"):
        list(Processes(1).map(refused, [3]))


@pytest.mark.slow
def test_models_travel_and_results_have_the_same_bits() -> None:
    function = Scaled(nn.Linear(7, 5))
    tasks = torch.randn(9, 4, 7).unbind()
    made = list(Processes(2).map(function, tasks))
    assert all(torch.equal(a, function(b)) for a, b in zip(made, tasks, strict=True))


@pytest.mark.slow
def test_a_task_that_kills_every_worker_is_given_up() -> None:
    with pytest.raises(LatdirError, match="4 workers of this machine died in a row: is there"):
        list(Processes(1).map(fatal, [1]))


def test_functions_that_cannot_be_sent_are_refused() -> None:
    with pytest.raises(LatdirError, match=r"cannot be sent to another process \(.*a module of"):
        list(Processes(1).map(lambda task: task, [1]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Processes(0), "workers 0 must be at least 1"),
        (lambda: Ray(workers=0), "workers 0 must be at least 1"),
        (lambda: Ray(num_gpus=-1.0), "num_gpus -1 must be at least 0"),
    ],
)
def test_numbers_that_are_not_allowed(make, message: str) -> None:
    with pytest.raises(LatdirError, match=message):
        make()


def test_ray_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LatdirError, match=r"pip install 'latdir\[ray\]'"):
        list(Ray().map(abs, [1]))


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them() -> None:
    script = (
        "import time\nfrom directions.executors import Processes\n"
        "if __name__ == '__main__':\n"
        "    for _ in Processes(2).map(time.sleep, [0, 0, 60, 60]): print('up', flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None
    child.stdout.readline()
    workers = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(child.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(workers) >= 2
    child.kill()
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


CLUSTER = """
import os, sys
sys.path.insert(0, {root!r})
from directions.executors import Ray
from directions.errors import LatdirError
from tests.directions.executors.test_executors import DiesOnce, refused
import torch
function = DiesOnce({mark!r}, 5)
assert list(Ray(workers=2).map(function, range(12))) == [i**2 for i in range(12)]
assert os.path.exists({mark!r})
try:
    list(Ray(workers=1).map(refused, [3]))
except LatdirError as error:
    assert "task 3 is refused" in str(error), error
else:
    raise AssertionError
print("all as a loop")
"""


@pytest.mark.slow
def test_ray_gives_what_a_loop_gives_though_an_actor_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install 'latdir[ray]'")
    script = CLUSTER.format(root=str(ROOT), mark=str(tmp_path / "mark"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert "all as a loop" in done.stdout, done.stderr[-3000:]
