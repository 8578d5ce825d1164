"""PCA of a million codes: the streaming covariance beside IncrementalPCA as GANSpace calls it.

    python benchmarks/pca.py            # N = 1,000,000, d = 512, about five minutes
    python benchmarks/pca.py --quick    # N = 60,000

Both read the same codes from a generator of chunks that costs the same for both. Reported are the
seconds in PCA alone (on the wall and of processor), the worst |cosine| of the leading components
to the exact ones (of float64 sums over all codes), the worst relative eigenvalue error, and the
memory above the chunk's, each from a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch

from directions.numerics.eigen import eigh
from discovery.decomposition.covariance import StreamingCovariance

DIM, COMPONENTS = 512, 80
CHUNK, BATCH = 4096, 2000


def scales() -> torch.Tensor:
    """Standard deviations like those of StyleGAN's w: a long, slowly falling tail."""
    return torch.arange(1, DIM + 1) ** -0.35


def chunks(count: int, size: int) -> Iterator[torch.Tensor]:
    """Codes with a known spectrum, mean far from zero, drawn anew at each call."""
    rng = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(DIM, DIM, generator=rng))
    mix = scales()[:, None] * basis.T
    for first in range(0, count, size):
        seeded = torch.Generator().manual_seed(1 + first)
        yield torch.randn(min(size, count - first), DIM, generator=seeded) @ mix + 1


class Watch:
    """Adds up seconds on the wall and of processor."""

    def __init__(self) -> None:
        self.seconds = [0.0, 0.0]

    def __enter__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds[0] += time.perf_counter() - self._start[0]
        self.seconds[1] += time.process_time() - self._start[1]


def stream(count: int, precision: str) -> tuple[list[float], np.ndarray, np.ndarray]:
    covariance = StreamingCovariance(DIM, precision=precision)
    watch = Watch()
    for codes in chunks(count, CHUNK):
        with watch:
            covariance.add(codes)
    with watch:
        spectrum = eigh(covariance.covariance(), count=COMPONENTS)
    return watch.seconds, spectrum.values.numpy(), spectrum.vectors.numpy()


def exact(count: int) -> tuple[list[float], np.ndarray, np.ndarray]:
    covariance = StreamingCovariance(DIM)
    for codes in chunks(count, CHUNK):
        covariance.add(codes.double())
    spectrum = eigh(covariance.covariance(), count=COMPONENTS)
    return [0.0, 0.0], spectrum.values.numpy(), spectrum.vectors.numpy()


def incremental(count: int) -> tuple[list[float], np.ndarray, np.ndarray]:
    from sklearn.decomposition import IncrementalPCA

    # GANSpace's call: whiten off, batches of max(2000, 3 components).
    pca = IncrementalPCA(n_components=COMPONENTS, whiten=False, batch_size=BATCH)
    watch = Watch()
    # The same codes, cut into its batches.
    held = np.empty((0, DIM), np.float32)
    for codes in chunks(count, CHUNK):
        held = np.concatenate([held, codes.numpy()])
        while len(held) >= BATCH:
            with watch:
                pca.partial_fit(held[:BATCH])
            held = held[BATCH:]
    return watch.seconds, pca.explained_variance_, pca.components_


def memory(count: int) -> float:
    """Peak memory of the streaming covariance above drawing the chunks alone, in MB."""
    before = 0
    for codes in chunks(8 * CHUNK, CHUNK):
        before = max(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        del codes
    stream(count, "float32")
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def child(job: str, count: int) -> list:
    """One measurement in a fresh process."""
    command = [sys.executable, __file__, "--job", job, "--count", str(count)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(out)


JOBS = {
    "float32": lambda count: stream(count, "float32"),
    "bfloat16": lambda count: stream(count, "bfloat16"),
    "exact": exact,
    "incremental": incremental,
    "memory": lambda count: (memory(count),),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="60,000 codes instead of a million")
    parser.add_argument("--runs", type=int, default=3, help="runs of the streaming covariance")
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help="number of codes")
    options = parser.parse_args()
    count = options.count or (60_000 if options.quick else 1_000_000)
    if options.job:
        result = JOBS[options.job](count)
        print(json.dumps([r.tolist() if isinstance(r, np.ndarray) else r for r in result]))
        return
    _, true_values, true_vectors = (np.array(r) for r in child("exact", count))
    slow = child("incremental", count)
    print(f"N = {count:,}, d = {DIM}, {COMPONENTS} components, {torch.get_num_threads()} threads")
    print(
        f"{'':20}{'wall s':>9}{'ratio':>7}{'cpu s':>9}{'ratio':>7}"
        f"{'worst |cos|':>13}{'λ error':>10}"
    )
    rows = [("IncrementalPCA", *slow)]
    for precision in ("float32", "bfloat16"):
        runs = [child(precision, count) for _ in range(options.runs)]
        seconds = [statistics.median(run[0][i] for run in runs) for i in range(2)]
        rows.append((f"streaming {precision}", seconds, *runs[0][1:]))
    for name, (wall, processor), values, vectors in rows:
        cosine = np.abs((np.array(vectors) * true_vectors).sum(1)).min()
        error = np.abs(np.array(values) / true_values - 1).max()
        ratios = slow[0][0] / wall, slow[0][1] / processor
        print(
            f"{name:20}{wall:9.2f}{ratios[0]:7.1f}{processor:9.2f}{ratios[1]:7.1f}"
            f"{cosine:13.6f}{error:10.1e}"
        )
    (peak,) = child("memory", count)
    print(f"memory above drawing the chunks: {peak:.0f} MB")


if __name__ == "__main__":
    main()
