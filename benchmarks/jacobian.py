"""Jacobians of a generator: forward mode beside the reverse-mode rows of ReSeFa and LowRankGAN.

    python benchmarks/jacobian.py                  # rows on a subset, extrapolated; says so
    python benchmarks/jacobian.py --all-rows       # all 12,288 rows
    python benchmarks/jacobian.py --generator mine:make --space w

Figures are medians of three, taken in turn. With `--generator` anything registered or
`module:function` can be measured; the linear form and the crop need a generator whose
`linearize` knows them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from directions.generators import load_generator
from directions.generators.base import Generator
from directions.generators.dcgan import DCGAN
from directions.numerics.eigen import eigh
from directions.numerics.jacobian import columns, gram, leading, metric
from discovery.jacobian.global_basis import GlobalBasis

# Eyes and mouth of an average digiface64 face.
WINDOWS = {"eyes": (20, 10, 34, 54), "mouth": (42, 20, 58, 44)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--space", default=None)
    parser.add_argument("--all-rows", action="store_true", help="time every row, once")
    parser.add_argument("--rows", type=int, default=400, help="rows timed otherwise")
    parser.add_argument("--codes", type=int, default=100, help="codes aggregated; 0 for none")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    generator = load_generator(options.generator)
    space = options.space or next(iter(generator.spaces))
    code = generator.sample(1, seed=0, space=space)[0]

    def plain() -> Tensor:
        return columns(Generator.linearize(generator, code, space=space))

    ways: dict[str, Callable[[], Any]] = {"forward mode, all columns": lambda: gram(plain())}
    if isinstance(generator, DCGAN):
        ways["linear form, all columns"] = lambda: metric(generator.linearize(code))
        for name, window in WINDOWS.items():
            ways[f"linear form, {name} by its receptive field"] = lambda window=window: metric(
                generator.linearize(code, window=window)
            )
    ways["forward and reverse, 20 leading"] = lambda: leading(
        generator.linearize(code, space=space), count=20
    )
    times = in_turn(ways, options.repeat)
    pixels = 3 * generator.image_shape[1] * generator.image_shape[2]
    rows = pixels if options.all_rows else min(options.rows, pixels)
    seconds, slow = row_loop(generator, code, space, rows)
    note = "" if rows == pixels else f" (extrapolated from {rows} of {pixels} rows)"
    total = seconds * pixels / rows
    print(f"{'reverse mode, row by row':45s} {total:9.2f} s{note}")
    for name, taken in times.items():
        print(f"{name:45s} {taken:9.3f} s   {total / taken:8.1f}× faster")

    fast = ways.get("linear form, all columns", ways["forward mode, all columns"])()
    exact, top = eigh(fast), ways["forward and reverse, 20 leading"]()
    if rows == pixels:
        reference = torch.linalg.svdvals(slow.double())
        error = (exact.values.clamp_min(0).sqrt() - reference).abs() / reference
        print(f"singular values against the row loop: relative error {float(error.max()):.1e}")
    else:
        made = plain().flatten(1).T[:rows]
        error = float((slow - made).abs().max() / slow.abs().max())
        print(f"the {rows} rows against the columns: relative error {error:.1e}")
    cosines = (top.vectors * exact.vectors[: len(top)]).sum(1).abs()
    print(f"20 leading against exact: smallest |cos| {float(cosines.min()):.6f}")
    if options.codes:
        start = time.perf_counter()
        GlobalBasis(n_codes=options.codes, space=space).discover(generator)
        print(f"{options.codes} codes aggregated: {time.perf_counter() - start:.1f} s")


def in_turn(ways: dict[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """Median seconds of each, after one run to warm up, taking turns so that load is shared."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeat + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if turn:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def row_loop(generator: Generator, code: Tensor, space: str, rows: int) -> tuple[float, Tensor]:
    """Seconds and the first rows of J as the originals make them: one backward pass a pixel."""
    code = code.clone().requires_grad_()
    start = time.perf_counter()
    image = generator.synthesize(code[None], space).flatten()
    made = [
        torch.autograd.grad(image[i], code, retain_graph=True)[0].flatten() for i in range(rows)
    ]
    return time.perf_counter() - start, torch.stack(made)


if __name__ == "__main__":
    main()
