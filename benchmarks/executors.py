"""Labeled images a second in a loop, in a pool of processes and on Ray, each with one thread.

    python benchmarks/executors.py --rounds 3 --ray

By turns, each way labels shards of the same samples of `digiface64` by `faces+pixels` in bfloat16
(what measurement chooses on processors that have it), into a folder. The rate is that of the shards
after each worker's first, by the times at which the files were written, so that what it takes to
start is told apart; the shards must have the same sha256. Rounds are stored as they end: call it
again until there are as many as wanted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from directions import Local, Processes, Ray, Rendering, load_classifier, load_generator
from directions.executors import Executor
from discovery import sample
from discovery.sampling.shard_format import ROWS

STORED = Path(__file__).parent / "results" / "executors.json"
SHARDS = 3  # a worker: one to begin with, the others count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--seconds", type=float, default=150.0, help="after which no round begins")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ways: dict[str, Executor] = {"loop": Local(), "pool": Processes(options.workers)}
    if options.ray:
        ways["ray"] = Ray(workers=options.workers)
    rounds = json.loads(STORED.read_text())["rounds"] if STORED.exists() else []
    begun, longest = time.perf_counter(), 0.0
    while len(rounds) < options.rounds:
        started = time.perf_counter()
        if started - begun + longest > options.seconds:
            print("call it again for the other rounds")
            break
        rounds.append(one_round(ways, options.workers))
        longest = max(longest, time.perf_counter() - started)
        keep(rounds, options.workers)


def one_round(ways: dict[str, Executor], workers: int) -> dict[str, dict[str, float]]:
    """Images a second and seconds to start of each way, which all write the same files."""
    generator, classifier = load_generator("digiface64"), load_classifier("faces+pixels")
    found, contents = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name, executor in ways.items():
            count = 1 if name == "loop" else workers
            out = Path(folder) / name
            settings = Rendering(None, "bfloat16", 64, False, progress=False, executor=executor)
            started = time.time()
            sample(generator, classifier, SHARDS * count * ROWS, seed=0, out=out,
                   rendering=settings)  # fmt: skip
            written = sorted(p.stat().st_mtime for p in out.glob("*.parquet"))
            rate = (len(written) - count) * ROWS / (written[-1] - written[count - 1])
            start = written[count - 1] - started - count * ROWS / rate
            found[name] = {"a_second": round(rate, 1), "start": round(start, 2)}
            contents[name] = digest(out, SHARDS)
            print(f"{name}: {rate:.0f} a second beyond {start:.1f} s to start", flush=True)
    if len(set(contents.values())) != 1:
        raise SystemExit("the files differ")
    return found


def keep(rounds: list[dict[str, dict[str, float]]], workers: int) -> None:
    """All rounds, and the medians over them."""
    medians = {
        name: {
            "times_the_loop": round(
                statistics.median(r[name]["a_second"] / r["loop"]["a_second"] for r in rounds), 3
            ),
            **{
                figure: round(statistics.median(r[name][figure] for r in rounds), 2)
                for figure in ("a_second", "start")
            },
        }
        for name in rounds[0]
    }
    print(json.dumps(medians))
    stored = {"workers": workers, "medians": medians, "rounds": rounds}
    STORED.write_text(json.dumps(stored, indent=1) + "\n")


def digest(folder: Path, shards: int) -> str:
    """sha256 of the first shards, which do not depend on how many there are."""
    files = sorted(folder.glob("*.parquet"))[:shards]
    return hashlib.sha256(b"".join(p.name.encode() + p.read_bytes() for p in files)).hexdigest()


if __name__ == "__main__":
    main()
