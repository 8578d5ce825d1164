"""Samples have the same bits wherever they are labeled, whatever is killed on the way."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from directions import LatdirError, Rendering, wrap_classifier
from directions.executors import Executor, Local, Processes, Ray
from directions.planted.world import planted
from discovery.sampling.labeling import Labeling, Part, label_shard
from discovery.sampling.sampler import sample
from discovery.sampling.shard_format import read_header
from tests.discovery.sampling.test_sampler import NOISY, WORLD

ROOT = Path(__file__).parents[3]
PINNED = {"batch_size": 64, "precision": "float32", "compile": False, "progress": False}
SETTINGS = Rendering(**PINNED)


def fill(out: Path | str, executor: Executor, count: int) -> None:
    sample(WORLD, NOISY, count, seed=1, start=70, out=out,
           rendering=Rendering(**PINNED, executor=executor))  # fmt: skip


def digests(out: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.iterdir()
        if path.name != ".lock"
    }


def test_a_pool_writes_the_same_files_though_a_worker_is_killed(tmp_path: Path) -> None:
    fill(tmp_path / "loop", Local(), 3200)
    fill(tmp_path / "pool", Local(), 1500)  # the pool completes a shard that a loop began
    shot = KillsAt(tmp_path / "mark", shard=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("discovery.sampling.run.Labeling", shot)
        fill(tmp_path / "pool", Processes(2), 3200)
    assert (tmp_path / "mark").exists()
    assert digests(tmp_path / "pool") == digests(tmp_path / "loop")


class KillsAt:
    """Makes labelings whose worker is killed at one shard, the first time."""

    def __init__(self, mark: Path, *, shard: int) -> None:
        self.mark, self.shard = mark, shard

    def __call__(self, *args: object) -> Killed:
        return Killed(Labeling(*args), self.mark, self.shard)  # type: ignore[arg-type]


class Killed:
    """A labeling whose process is killed at one shard, unless it was before."""

    def __init__(self, labeling: Labeling, mark: Path, shard: int) -> None:
        self.labeling, self.mark, self.shard = labeling, mark, shard

    def __call__(self, part: Part) -> object:
        if part.shard == self.shard and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.labeling(part)


def test_a_shard_is_a_function_of_manifest_and_models(tmp_path: Path) -> None:
    fill(tmp_path, Local(), 1100)
    header = read_header(tmp_path)
    labeling = Labeling(WORLD, NOISY, header)
    again = label_shard(header, Part(1, 10, 76), generator=WORLD, scorer=labeling.scorer)
    whole = sample(WORLD, NOISY, 1100, seed=1, start=70, rendering=SETTINGS)
    assert torch.equal(again.codes, whole.codes[1034:])
    assert torch.equal(again.scores, whole.scores[1034:])
    assert again.settings == header.settings


def test_classifiers_that_cannot_be_sent_are_refused() -> None:
    gray = wrap_classifier(
        lambda images: images.mean((1, 2, 3)), attributes=["gray"], name="gray", version="1"
    )
    with pytest.raises(LatdirError, match="cannot be sent to another process"):
        sample(planted(), gray, 100, seed=0, rendering=Rendering(executor=Processes(1)))


RUN = """
import sys
sys.path.insert(0, {root!r})
from directions.executors import Local, Processes, Ray
from tests.discovery.sampling.test_executors import fill
if __name__ == "__main__":
    fill(sys.argv[1], {executor}, int(sys.argv[2]))
"""


def started(script: Path, out: Path | str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(script), str(out), str(count)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def rows(out: Path) -> int:
    try:
        return sum(shard.rows for shard in read_header(out).shards)
    except LatdirError:
        return 0


def descendants(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    parents = {int(p): (int(q), a) for p, q, a in (line.split(None, 2) for line in listed)}
    found = {pid}
    while more := {p for p, (q, _) in parents.items() if q in found} - found:
        found |= more
    return [
        p for p in found - {pid} if "forkserver" in parents[p][1] or "ray::Worker" in parents[p][1]
    ]


def killed_often(
    script: Path, out: Path | str, count: int, *, rows: Callable[[], int], workers: bool
) -> None:
    """A run whose driver is killed ten times, and then, where it has any, ten of its workers."""
    moments = random.Random(0)
    for death in range(10):
        process = started(script, out, count)
        goal = int(count / 24 * (death + moments.random()))
        while process.poll() is None and rows() < goal:
            time.sleep(0.01)
        process.kill()
        process.communicate()  # closes its pipes
    process = started(script, out, count)
    # Deaths without a shard between them end a run, however slow the machine is.
    killed, before = 0, rows()
    while process.poll() is None and workers and killed < 10:
        there, now = descendants(process.pid), rows()
        if there and now > max(count / 24 * (10 + killed), before):
            try:
                os.kill(moments.choice(there), signal.SIGKILL)
                killed, before = killed + 1, now
            except ProcessLookupError:
                pass
        time.sleep(0.01)
    _, err = process.communicate()
    assert process.returncode == 0, err.decode()[-2000:]
    assert killed == (10 if workers else 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "executor", ["Local()", "Processes(2)", "Ray(workers=2)"], ids=["local", "pool", "ray"]
)
def test_ten_deaths_of_workers_and_ten_of_the_driver(executor: str, tmp_path: Path) -> None:
    if "Ray" in executor:
        pytest.importorskip("ray", reason="pip install 'latdir[ray]'")
    script, out, count = tmp_path / "run.py", tmp_path / "killed", 60_000
    script.write_text(RUN.format(root=str(ROOT), executor=executor))
    killed_often(script, out, count, rows=lambda: rows(out), workers=executor != "Local()")
    fill(tmp_path / "whole", Local(), count)
    assert digests(out) == digests(tmp_path / "whole")


@pytest.mark.slow
def test_ray_writes_the_same_files(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install 'latdir[ray]'")
    script = tmp_path / "run.py"
    script.write_text(RUN.format(root=str(ROOT), executor="Ray(workers=2)"))
    process = started(script, tmp_path / "ray", 3200)
    _, err = process.communicate()
    assert process.returncode == 0, err.decode()[-2000:]
    fill(tmp_path / "loop", Local(), 3200)
    assert digests(tmp_path / "ray") == digests(tmp_path / "loop")


def test_ray_is_an_executor() -> None:
    assert Ray("auto", num_gpus=1.0).remote
