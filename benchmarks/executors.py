"""Labeled images a second in a loop, in a pool of processes and on Ray, each with one thread.

    python benchmarks/executors.py --samples 6000 --workers 2 --ray

Each way labels the same samples of `digiface64` by `faces+pixels`, a third of them first so that
the start of processes is told apart from their work; all files must have the same sha256.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path

import torch

from directions import Local, Processes, Ray, Rendering, load_classifier, load_generator
from directions.executors import Executor
from discovery import sample


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--samples", type=int, default=6144)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ray", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ways: dict[str, Executor] = {"loop": Local(), "pool": Processes(options.workers)}
    if options.ray:
        ways["ray"] = Ray(workers=options.workers)
    generator, classifier = load_generator("digiface64"), load_classifier("faces+pixels")
    short, rates, contents = options.samples // 3, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name, executor in ways.items():
            settings = Rendering(None, "float32", 64, False, progress=False, executor=executor)
            seconds = []
            for count, out in ((short, f"{name}-short"), (options.samples, name)):
                started = time.perf_counter()
                sample(generator, classifier, count, seed=0, out=Path(folder) / out,
                       rendering=settings)  # fmt: skip
                seconds.append(time.perf_counter() - started)
            rates[name] = (options.samples - short) / (seconds[1] - seconds[0])
            start = seconds[0] - short / rates[name]
            contents[name] = digest(Path(folder) / name)
            print(
                f"{name}: {options.samples} in {seconds[1]:.1f} s; {rates[name]:.0f} a second "
                f"beyond {start:.1f} s to start; {rates[name] / rates['loop']:.2f} times the loop",
                flush=True,
            )
    print("files the same:", len(set(contents.values())) == 1)


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.name != ".lock")
    return hashlib.sha256(b"".join(p.name.encode() + p.read_bytes() for p in files)).hexdigest()


if __name__ == "__main__":
    main()
