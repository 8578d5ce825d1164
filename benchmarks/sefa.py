"""SeFa of 22 layer sets: cumulative sums and `eigh` beside the official formula's `eig`.

    python benchmarks/sefa.py            # 18 layers of StyleGAN2's widths at 1024 px, d = 512
    python benchmarks/sefa.py --quick    # the same at d = 128

The sets are `all`, the ranges 0-1, 2-5 and 6-13 of the official code, and each layer alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from discovery.unsupervised.sefa import factorize

WIDTHS = [512] * 10 + [256, 256, 128, 128, 64, 64, 32, 32]
SETS = [range(18), range(2), range(2, 6), range(6, 14), *((i,) for i in range(18))]


def official(weights: list[np.ndarray], chosen: range | tuple[int, ...]) -> np.ndarray:
    """Normalized columns, then `numpy.linalg.eig`; sorted here, which the original is not."""
    matrix = np.concatenate([weights[i].T for i in chosen], 1).astype(np.float32)
    matrix = matrix / np.linalg.norm(matrix, axis=0, keepdims=True)
    values, vectors = np.linalg.eig(matrix @ matrix.T)
    return vectors.T[np.argsort(-values.real)].real


def timed(work: Callable[[], list]) -> tuple[float, float, list]:
    """Seconds on the wall, seconds of processor, and the result."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - processor, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="d = 128 and widths a quarter")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    scale = 4 if options.quick else 1
    rng = np.random.default_rng(0)
    # A falling spectrum, so that the leading eigenvectors are well defined.
    tail = np.arange(1, 512 // scale + 1) ** -0.3
    turn = np.linalg.qr(rng.standard_normal((len(tail), len(tail))))[0] * tail
    weights = [(rng.standard_normal((w // scale, len(tail))) @ turn.T).astype("f4") for w in WIDTHS]
    matrices = [torch.from_numpy(w) for w in weights]
    factorize(matrices, SETS, count=20)
    fast = [timed(lambda: factorize(matrices, SETS, count=20)) for _ in range(options.runs)]
    slow = [timed(lambda: [official(weights, s) for s in SETS]) for _ in range(options.runs)]
    spectra, found = fast[-1][2], slow[-1][2]
    worst = min(
        float(np.abs((s.vectors[:5].numpy() * v[:5]).sum(1)).min())
        for s, v in zip(spectra, found, strict=True)
    )
    print(f"d = {len(tail)}, {len(SETS)} layer sets, {torch.get_num_threads()} threads")
    for column, clock in enumerate(("on the wall", "of processor")):
        theirs, ours = (statistics.median(run[column] for run in runs) for runs in (slow, fast))
        print(f"seconds {clock}: eig {theirs:.2f}, factorize {ours:.2f}, {theirs / ours:.1f}x")
    print(f"leading five agree to |cos| {worst:.6f}")


if __name__ == "__main__":
    main()
