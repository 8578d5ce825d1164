"""Sampling runs killed at random moments, compared bit by bit with an uninterrupted run.

One run of `--samples` is left alone. Another, with the same settings in another folder, is started
and killed (SIGKILL, no warning) after a random number of finished shards and a random moment more,
`--kills` times, then finished. Every file of the two folders must be the same to the bit, the
manifests too.

    python benchmarks/kill_test.py
    python benchmarks/kill_test.py --world planted --samples 20000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from directions import Rendering, load_classifier, load_generator
from discovery.sampling.sampler import sample

BATCH = 64


def main() -> int:
    options = arguments()
    if options.child:
        run(options.world, options.samples, Path(options.child))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        killed, whole = Path(folder) / "killed", Path(folder) / "whole"
        started = time.perf_counter()
        kill_often(options, killed)
        finish(options, killed)
        print(f"killed {options.kills} times and finished: {time.perf_counter() - started:.0f} s")
        started = time.perf_counter()
        finish(options, whole)
        print(f"left alone: {time.perf_counter() - started:.0f} s")
        a, b = contents(killed), contents(whole)
    differing = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    print(f"{len(b)} files; differing: {', '.join(differing) or 'none'}")
    return 1 if differing else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--world", choices=["faces", "planted"], default="faces")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of death")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def run(world: str, samples: int, out: Path) -> None:
    if world == "planted":
        generator = load_generator("planted")
        classifier = generator.classifier()  # type: ignore[attr-defined]
    else:
        generator, classifier = load_generator("digiface64"), load_classifier("faces+pixels")
    sample(
        generator,
        classifier,
        samples,
        seed=2026,
        out=out,
        rendering=Rendering(batch_size=BATCH, precision="bfloat16", compile=False, progress=False),
    )


def start(options: argparse.Namespace, out: Path) -> subprocess.Popen[bytes]:
    """The run as a process of its own, so that it can be killed."""
    return subprocess.Popen(
        [
            *(sys.executable, __file__, "--child", str(out)),
            *("--world", options.world, "--samples", str(options.samples)),
        ]
    )


def finish(options: argparse.Namespace, out: Path) -> None:
    if start(options, out).wait() != 0:
        raise SystemExit(f"the run in {out} failed")


def kill_often(options: argparse.Namespace, out: Path) -> None:
    """Let it live for about a twelfth of the work each time, and a little more or less."""
    moments = random.Random(options.seed)
    share = options.samples / (options.kills + 2)
    for death in range(options.kills):
        goal = int(share * (death + moments.random()))
        process = start(options, out)
        while process.poll() is None and rows(out) < goal:
            time.sleep(0.005)
        time.sleep(moments.random() * moments.choice([0.01, 0.1, 1.0]))
        finished = process.poll() is not None
        process.kill()
        process.wait()
        leftovers = len(list(out.glob(".*.tmp")))
        print(
            f"death {death + 1}: {rows(out)} rows, {leftovers} half-written files"
            + (" (it had finished)" if finished else "")
        )


def rows(out: Path) -> int:
    """Rows that the manifest counts; it is whole whenever it is there."""
    try:
        shards = json.loads((out / "_manifest.json").read_text())["shards"]
    except FileNotFoundError:
        return 0
    return sum(shard["rows"] for shard in shards)


def contents(out: Path) -> dict[str, str]:
    files = [path for path in out.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


if __name__ == "__main__":
    raise SystemExit(main())
