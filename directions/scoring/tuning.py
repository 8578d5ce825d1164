"""Measurement of the fastest scoring settings: batch size, precision, compilation.

The rule. Runs under 2,048 images are not worth measuring for: float32, batch 64, not compiled.
Longer ones time generator and classifier together, in turns, the best of three:

- bfloat16 is taken if it is at least 10 % faster and its scores agree: for each attribute, the
  difference has at most a tenth of the scores' own standard deviation (a correlation above 0.995).
- The batch is the fastest of those tried; a larger one must be 5 % faster than a smaller, and on
  CUDA is tried only where the memory that a smaller one took says that it fits.
- A classifier's compiled form, where it says it has one, is used if it saves twice its cost.
  Compiling is reckoned at 60 s for 1.3 times the speed, so that at 100 samples per second it pays
  from 52,000 samples on. Without a C++ compiler it is never taken.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from directions.fingerprints import Precision
from directions.scoring.rendering import Rendering

__all__ = ["BATCH", "MEASURE_FROM", "agrees", "break_even", "choose"]

MEASURE_FROM = 2048
BATCH = 64
CPU_BATCHES = (32, 64, 128)
CUDA_BATCHES = (16, 64, 256, 1024)
# Share of the free memory that a batch may be expected to take.
FREE = 0.8
FASTER = 1.10
LARGER_FASTER = 1.05
AGREEMENT = 0.1
COMPILE_SECONDS = 60.0
COMPILE_SPEEDUP = 1.3
PAYBACK = 2.0
REPEATS = 3

log = logging.getLogger(__name__)

Pipeline = Callable[[Tensor], Tensor]


def choose(
    rendering: Rendering,
    pipeline: Callable[[Precision], Pipeline],
    codes: Callable[[int], Tensor],
    *,
    n: int,
    compiles: bool = False,
) -> Rendering:
    """The same options with everything decided that was left open.

    Args:
        rendering: Fixed settings; None where they are to be chosen.
        pipeline: Codes to scores at a precision.
        codes: Returns a number of codes to measure with.
        n: Number of images of the run.
        compiles: Whether the classifier has a compiled form.
    """
    precision, batch, compile = rendering.precision, rendering.batch_size, rendering.compile
    rate = 0.0
    if n >= MEASURE_FROM:
        if precision is None:
            precision = _precision(pipeline, codes(batch or BATCH))
        if batch is None:
            sizes = CUDA_BATCHES if codes(1).is_cuda else CPU_BATCHES
            batch, rate = _batch(pipeline(precision), codes(max(sizes)), sizes)
        if compile is None and compiles and _has_compiler():
            rate = rate or BATCH / _seconds([pipeline(precision)], codes(BATCH))[0]
            compile = n >= break_even(rate)
    chosen = replace(
        rendering,
        batch_size=batch or BATCH,
        precision=precision or "float32",
        compile=bool(compile),
    )
    # Short runs take the defaults: nothing to tell.
    level = logging.INFO if n >= MEASURE_FROM else logging.DEBUG
    said = "batch %d, %s, compiled: %s"
    log.log(level, said, chosen.batch_size, chosen.precision, chosen.compile)
    return chosen


def agrees(reference: Tensor, other: Tensor) -> bool:
    """Whether the differences of scores are small relative to their variation.

    Args:
        reference: `[n, k]`.
        other: `[n, k]`.

    Example:
        >>> scores = torch.linspace(0, 1, 50)[:, None]
        >>> agrees(scores, scores + 0.01), agrees(scores, scores.flip(0))
        (True, False)
    """
    difference = (reference - other).square().mean(0).sqrt()
    return bool((difference <= AGREEMENT * reference.std(0) + 1e-6).all())


def break_even(rate: float) -> float:
    """Number of samples from which compiling pays, given the samples per second without it.

    Example:
        >>> round(break_even(100.0))
        52000
    """
    return PAYBACK * COMPILE_SECONDS * rate / (1 - 1 / COMPILE_SPEEDUP)


def _precision(pipeline: Callable[[Precision], Pipeline], codes: Tensor) -> Precision:
    plain, fast = pipeline("float32"), pipeline("bfloat16")
    reference = None
    while reference is None:
        try:
            reference = plain(codes)
        except torch.OutOfMemoryError:
            if len(codes) < 4:
                raise
            codes = codes[: len(codes) // 2]
    agreeing = agrees(reference, fast(codes))
    slow, quick = _seconds([plain, fast], codes)
    log.info("bfloat16 is %.2f times as fast; scores agree: %s", slow / quick, agreeing)
    return "bfloat16" if agreeing and slow >= FASTER * quick else "float32"


def _batch(run: Pipeline, codes: Tensor, sizes: tuple[int, ...]) -> tuple[int, float]:
    best, best_rate = 0, 0.0
    for size in sizes:
        if best and not _fits(run, codes, best, size):
            break
        try:
            rate = size / _seconds([run], codes[:size])[0]
        except torch.OutOfMemoryError:
            log.info("no memory for %d images at a time", size)
            break
        if rate > best_rate * LARGER_FASTER:
            best, best_rate = size, rate
    return best, best_rate


def _fits(run: Pipeline, codes: Tensor, known: int, size: int) -> bool:
    """Whether a larger batch fits into the free memory of a CUDA device.

    Memory grows with the batch as measured at a batch size that is known to fit.
    """
    if not codes.is_cuda:
        return True
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(codes.device)
    torch.cuda.reset_peak_memory_stats(codes.device)
    run(codes[:known])
    taken = torch.cuda.max_memory_allocated(codes.device) - before
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(codes.device)
    fits = taken / known * size <= FREE * free
    if not fits:
        log.info("%d images at a time would need %.1f GB", size, taken / known * size / 2**30)
    return fits


def _seconds(runs: list[Pipeline], codes: Tensor) -> list[float]:
    """Best time of each over one batch, taken in turns."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(REPEATS):
        for run, taken in zip(runs, times, strict=True):
            started = time.perf_counter()
            run(codes)
            if codes.is_cuda:
                torch.cuda.synchronize(codes.device)
            taken.append(time.perf_counter() - started)
    return [min(taken) for taken in times]


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in ("g++", "clang++", "c++", "cl"))
