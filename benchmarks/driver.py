"""Time and memory of the process that writes shards, as their number grows.

Workers that cost nothing hand over shards of 1,024 rows, as a cluster of any size would; what is
left is what one process must do for each: Parquet, sha256, the file, the manifest. A line for each
million codes, then the time to resume the folder.

    python benchmarks/driver.py --codes 10000000 --size 16
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from directions import Rendering
from directions.classifiers import Attribute, Classifier
from directions.executors import Executor
from directions.planted.world import planted
from discovery import sample
from discovery.sampling.labeling import Labeled
from discovery.sampling.shard_format import ROWS


@dataclass(frozen=True)
class Instant(Executor):
    """Workers that hand over the same rows for every shard; tells when each is taken."""

    rows: Labeled
    seen: Callable[[int], None]

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        """The rows, as many as the task wants."""
        for task in tasks:
            self.seen(task.shard)
            count = task.rows - task.have
            yield self.rows._replace(codes=self.rows.codes[:count], scores=self.rows.scores[:count])


class Told(Classifier):
    """Never called: the workers know the scores."""

    name = "told"
    attributes = tuple(Attribute(f"a{i}") for i in range(4))
    fingerprint = "1" * 64

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Refuse to be called."""
        raise AssertionError


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--codes", type=int, default=10_000_000)
    parser.add_argument("--size", type=int, default=16)
    options = parser.parse_args()
    world = planted(dim=options.size)
    settings = {"precision": "float32", "batch_size": 64, "compile": False, "progress": False}
    every = 1_000_000 // ROWS
    started = last = time.perf_counter()

    def seen(shard: int) -> None:
        nonlocal last
        if shard and shard % every == 0:
            now = time.perf_counter()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"{shard * ROWS:>10,} codes: {1e3 * (now - last) / every:.2f} ms a shard, "
                f"{peak:.2f} GB at most",
                flush=True,
            )
            last = now

    rng = torch.Generator().manual_seed(0)
    rows = Labeled(
        torch.randn(ROWS, options.size, generator=rng),
        torch.rand(ROWS, 4, generator=rng),
        None,
        True,
    )
    with tempfile.TemporaryDirectory() as folder:
        rendering = Rendering(**settings, executor=Instant(rows, seen))  # type: ignore[arg-type]
        made = sample(world, Told(), options.codes, seed=0, out=folder, rendering=rendering)
        took = time.perf_counter() - started
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e9
        print(f"{len(made):,} codes of {options.size} numbers, {size:.2f} GB, in {took:.0f} s")
        started = time.perf_counter()
        sample(world, Told(), options.codes, seed=0, out=folder, rendering=rendering)
        print(f"resumed, every shard verified, in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
