"""Measurement of the fastest scoring settings: batch size, precision, compilation.

The rule. Runs under 2,048 samples are not worth measuring for: float32, batch 64, not compiled.
Longer ones time generator and classifier together, in turns, the best of three:

- bfloat16 is taken if it is at least 10 % faster and its scores agree: for each attribute, the
  difference has at most a tenth of the scores' own standard deviation (a correlation above 0.995).
- The batch is the fastest of those tried; a larger one must be 5 % faster than a smaller.
- A classifier's compiled form, where it says it has one, is used if it saves twice its cost.
  Compiling is reckoned at 60 s for 1.3 times the speed, so that at 100 samples per second it pays
  from 52,000 samples on. Without a C++ compiler it is never taken.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from directions.classifiers.base import Classifier
from directions.fingerprints import Precision
from directions.generators.base import Generator, check_images
from discovery.sampling.shard_format import Header, Settings

__all__ = ["agrees", "break_even", "choose"]

MEASURE_FROM = 2048
BATCH = 64
CPU_BATCHES = (32, 64, 128)
CUDA_BATCHES = (64, 256, 1024)
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
    generator: Generator,
    classifier: Classifier,
    codes: Callable[[int], Tensor],
    *,
    header: Header,
    n: int,
    fixed: dict[str, Any],
) -> Settings:
    """Settings for a run of n samples.

    Args:
        generator: Makes the images.
        classifier: Scores them.
        codes: Returns a number of codes to measure with.
        header: Says which space and attributes.
        n: Length of the run.
        fixed: `batch`, `precision` and `compile`, None where it is to be chosen.
    """
    names = [a.name for a in header.attributes]

    def pipeline(precision: Precision) -> Pipeline:
        make = generator.inference(precision=precision, space=header.space)
        score = classifier.inference(precision=precision, names=names)

        def run(some: Tensor) -> Tensor:
            return score(check_images(make(some), name=generator.name, count=len(some)))

        return run

    precision, batch, compile = fixed["precision"], fixed["batch"], fixed["compile"]
    if n >= MEASURE_FROM and None in (precision, batch, compile):
        if precision is None:
            precision = _precision(pipeline, codes(batch or BATCH))
        rate = 0.0
        run = pipeline(precision)
        if batch is None:
            sizes = CUDA_BATCHES if generator.device.type == "cuda" else CPU_BATCHES
            batch, rate = _batch(run, codes(max(sizes)), sizes)
        if compile is None and classifier.compiles and _has_compiler():
            rate = rate or BATCH / _seconds([run], codes(BATCH))[0]
            compile = n >= break_even(rate)
    chosen = Settings(batch=batch or BATCH, precision=precision or "float32", compile=bool(compile))
    log.info("batch %d, %s, compiled: %s", chosen.batch, chosen.precision, chosen.compile)
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
    agreeing = agrees(plain(codes), fast(codes))
    slow, quick = _seconds([plain, fast], codes)
    log.info("bfloat16 is %.2f times as fast; scores agree: %s", slow / quick, agreeing)
    return "bfloat16" if agreeing and slow >= FASTER * quick else "float32"


def _batch(run: Pipeline, codes: Tensor, sizes: tuple[int, ...]) -> tuple[int, float]:
    best, best_rate = 0, 0.0
    for size in sizes:
        rate = size / _seconds([run], codes[:size])[0]
        if rate > best_rate * LARGER_FASTER:
            best, best_rate = size, rate
    return best, best_rate


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
