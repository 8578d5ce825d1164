"""Damaged checkpoint files give a clean error or a load, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.parity import ROOT


def _run(seed: int, start: int, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.directions.generators.checkpoints.mutated"]
    done = subprocess.run(
        [*command, str(seed), str(start), str(count)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _check(result: dict[str, Any], count: int) -> None:
    assert result["wrong_list"] == []
    # A worker that refuses or loads everything would prove nothing.
    assert result["loaded"] + result["refused"] == count
    assert result["loaded"] > 0.02 * count
    assert result["refused"] > 0.3 * count


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory by RLIMIT_AS")
def test_three_hundred_mutated_files() -> None:
    _check(_run(1, 0, 300), 300)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory by RLIMIT_AS")
def test_ten_thousand_mutated_files() -> None:
    for start in range(0, 10_000, 1000):
        _check(_run(2, start, 1000), 1000)
