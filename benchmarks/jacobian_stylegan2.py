"""The 20 leading directions of a StyleGAN2-shaped generator at one code, beside the exact JᵀJ.

    python benchmarks/jacobian_stylegan2.py                  # 256 px, random weights
    python benchmarks/jacobian_stylegan2.py --exact out/jtj  # and JᵀJ of all 512 columns: minutes

The weights are random at the official initial scale, so spectrum and cost are those of such a
network. Each way runs in a process of its own, so that its peak memory is its own; memory is what
it takes above the model. JᵀJ is kept in the folder given and not computed again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from random_stylegan2 import random_stylegan2
from safetensors.torch import load_file, save_file
from torch import Tensor

from directions.generators.base import Generator
from directions.generators.stylegan.stylegan2_generator import StyleGAN2Generator
from directions.numerics.eigen import eigh
from directions.numerics.jacobian import columns, gram, leading

COUNT = 20
# Relative gap to both neighbors above which an eigenvector is well defined.
GAP = 0.05


class Measured(NamedTuple):
    """What a way gave and took."""

    seconds: float
    processor: float
    megabytes: float
    result: tuple[Tensor, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=3, help="runs of the leading ones")
    parser.add_argument("--exact", type=Path, help="folder for the exact JᵀJ")
    options = parser.parse_args()
    runs = [own_process(find_leading, options.resolution) for _ in range(options.repeat)]
    run = sorted(runs)[len(runs) // 2]
    show(f"{COUNT} leading, linear form", run)
    if options.exact is None:
        return
    file = options.exact / f"stylegan2_{options.resolution}.safetensors"
    if not file.exists():
        made = own_process(find_exact, options.resolution)
        options.exact.mkdir(parents=True, exist_ok=True)
        costs = torch.tensor([made.seconds, made.processor, made.megabytes])
        save_file({"metric": made.result[0], "costs": costs}, file)
    held = load_file(file)
    show("all columns, forward mode", Measured(*held["costs"].tolist(), ()))
    values, vectors = run.result
    exact = eigh(held["metric"], count=COUNT + 1)
    cosines = (exact.vectors[:COUNT] * vectors).sum(1).abs()
    step = 1 - exact.values[1:] / exact.values[:-1]
    apart = torch.minimum(step, torch.cat([step.new_ones(1), step[:-1]])) > GAP
    error = (values / exact.values[:COUNT] - 1).abs().max()
    angles = torch.linalg.svdvals(exact.vectors[:COUNT] @ vectors.T)
    print(f"|cos| {' '.join(f'{c:.4f}' for c in cosines)}")
    print(
        f"smallest |cos| of the {int(apart.sum())} with gaps over {GAP:.0%}: "
        f"{cosines[apart].min():.6f}; smallest cosine between the spans {angles.min():.6f}; "
        f"eigenvalues within {error:.1e}"
    )


def find_leading(resolution: int) -> Measured:
    """The leading eigenpairs by block Krylov products with the linear form."""
    generator, code = _subject(resolution)

    def work() -> tuple[Tensor, ...]:
        found = leading(generator.linearize(code, space="w"), count=COUNT)
        return found.values, found.vectors

    return _measured(work)


def find_exact(resolution: int) -> Measured:
    """JᵀJ by forward-mode differentiation of the network itself, four columns at a time."""
    generator, code = _subject(resolution)
    return _measured(
        lambda: (gram(columns(Generator.linearize(generator, code, space="w"), chunk=4)),)
    )


def _measured(work) -> Measured:  # type: ignore[no-untyped-def]
    before, start, busy = _resident(), time.perf_counter(), time.process_time()
    result = work()
    seconds, processor = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measured(seconds, processor, peak - before, result)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def own_process(way, resolution: int) -> Measured:  # type: ignore[no-untyped-def]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(way, resolution).result()


def show(name: str, run: Measured) -> None:
    print(
        f"{name:30s} {run.seconds:8.1f} s   {run.processor:8.1f} s of processor   "
        f"{run.megabytes:6.0f} MB above the model"
    )


def _subject(resolution: int) -> tuple[StyleGAN2Generator, Tensor]:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    generator = random_stylegan2(resolution)
    return generator, generator.sample(1, seed=0, space="w")[0]


if __name__ == "__main__":
    main()
