"""Keeping freed memory is a setting of the C library, and says whether it was taken."""

import ctypes
import subprocess
import sys

import pytest

from directions.memory import keep_freed_memory


def test_a_freed_block_is_not_given_back() -> None:
    if not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        pytest.skip("the C library is not glibc")
    # Page faults of allocations of one size, one after the other: where memory is kept a few of
    # them may have any, until blocks of that alignment lie ready; otherwise all have.
    code = """
import resource, torch
from directions.memory import keep_freed_memory
def faults():
    for turn in range(24):
        if turn == 2:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        block = torch.ones(64 << 20, dtype=torch.uint8)
        del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), keep_freed_memory(), faults())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    left, taken, kept = done.stdout.split()
    assert taken == "True"
    assert int(kept) < int(left) / 3


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert keep_freed_memory() is False
