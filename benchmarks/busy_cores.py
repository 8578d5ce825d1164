"""Scored images a second, alone and beside processes that hold cores.

`shared` computes one batch after the other with all threads; `side by side`, what `Scorer` does on
a CPU, computes as many batches as there are threads, each by one. Both compute the same batches in
turns, in one process; figures are medians, and the scores must be equal to the bit.

    python benchmarks/busy_cores.py
    python benchmarks/busy_cores.py --busy 0 1 2 --generator styleface64
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor

from directions import Rendering, load_classifier, load_generator
from directions.scoring import renderer
from directions.scoring.scorer import Scorer

HOLD = "while True: pass"


def main() -> int:
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    generator, classifier = load_generator(options.generator), load_classifier("faces")
    rendering = Rendering(precision=options.precision, batch_size=64, progress=False)
    space = generator.default_space("w")
    scorer = Scorer(generator, classifier, space=space, rendering=rendering)
    codes = generator.sample(options.images, seed=0, space=space)

    def shared() -> Tensor:
        with patch.object(renderer, "worker_count", lambda batches, size: 1):
            return scorer.score(codes)

    expected, made = shared(), scorer.score(codes)
    same = torch.equal(expected, made)
    print(f"{torch.get_num_threads()} threads; scores equal to the bit: {same}")
    for busy in options.busy:
        rates: dict[str, list[float]] = {"shared": [], "side by side": []}
        with held(busy):
            for _ in range(options.turns):
                for name, way in (
                    ("shared", shared),
                    ("side by side", lambda: scorer.score(codes)),
                ):
                    begun = time.perf_counter()
                    way()
                    rates[name].append(len(codes) / (time.perf_counter() - begun))
        ratios = [b / a for a, b in zip(*rates.values(), strict=True)]
        figures = ", ".join(f"{k} {statistics.median(v):.0f}/s" for k, v in rates.items())
        print(f"beside {busy} busy: {figures}; median ratio {statistics.median(ratios):.2f}")
    return 0 if same else 1


@contextmanager
def held(cores: int) -> Iterator[None]:
    """Processes that hold cores."""
    processes = [subprocess.Popen([sys.executable, "-c", HOLD]) for _ in range(cores)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="by default PyTorch's")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
