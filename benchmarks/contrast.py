"""Training of directions that can be told apart: the official step beside ours, and what it finds.

    python benchmarks/contrast.py
    python benchmarks/contrast.py --train --checkpoint contrast.checkpoint

The first compares, in turn in one process and in processor time of one thread, a step of Voynov &
Babenko's training as the official code takes it (ResNet-18 on both images in float32, gradients of
the generator's weights too, an orthonormal deformator, batch 32) with one of `VoynovBabenko`. With
`--train` 30 directions are trained, which a checkpoint lets one do in pieces, and a fresh network
measures how well it can tell them apart beside random ones.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from torch import nn

from analysis import measure_distinguishability
from directions import keep_freed_memory, load_generator
from directions.scoring.rendering import Rendering
from discovery import VoynovBabenko
from discovery.learned import contrast
from discovery.learned.contrast import amounts, contrast_loss
from discovery.learned.networks.deformators import Ortho
from discovery.learned.networks.reconstructors import ResNet18
from discovery.learned.voynov_babenko import Deformed

BATCH, DIRECTIONS, ROUNDS = 32, 30, 6


def official(name: str, space: str) -> Callable[[], None]:
    """A step as the official trainer takes it."""
    generator = load_generator(name)
    for value in vars(generator).values():
        if isinstance(value, nn.Module):
            value.requires_grad_(True)  # it never freezes the generator
    d = generator.space(space).size
    mover = Deformed(Ortho(torch.randn(d, d), torch.eye(d)), d)
    teller = ResNet18(d)
    adams = [torch.optim.Adam(m.parameters(), lr=1e-4) for m in (mover, teller)]

    def step() -> None:
        codes = generator.sample(BATCH, seed=int(torch.randint(2**31, ())), space=space)
        index = torch.randint(d, (BATCH,))
        amount = amounts(2 * torch.rand(BATCH) - 1, reach=6.0, least=0.5)
        with torch.enable_grad():
            before = generator.synthesize(codes.requires_grad_(), space)
            after = generator.synthesize(mover(codes, index, amount), space)
            loss = contrast_loss(*teller(before, after), index, amount, weight=0.25)
            for adam in adams:
                adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        for adam in adams:
            adam.step()

    return step


def steps_of(method: VoynovBabenko, name: str) -> list[float]:
    """Processor time of each step of a training but the first two."""
    began: list[float] = []
    draw = contrast.step_rng

    def timed(seed: int, step: int) -> torch.Generator:
        began.append(time.process_time())
        return draw(seed, step)

    contrast.step_rng = timed
    try:
        method.discover(load_generator(name))
    finally:
        contrast.step_rng = draw
    return [after - before for before, after in pairwise(began[2 : method.steps])]


def main() -> None:
    """Print both times of a step, or train and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--space", default="z")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--steps", type=int, default=VoynovBabenko.steps)
    parser.add_argument("--deformator", default="ortho")
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    method = VoynovBabenko(
        n_directions=DIRECTIONS, space=options.space, deformator=options.deformator,
        steps=options.steps, progress=False,
    )  # fmt: skip
    if options.train:
        generator = load_generator(options.generator)
        begun, wall = time.process_time(), time.perf_counter()
        bank = method.discover(generator, checkpoint=options.checkpoint)
        took = time.process_time() - begun, time.perf_counter() - wall
        rendering = Rendering(precision="bfloat16", progress=False, batch_size=64)
        found = measure_distinguishability(generator, bank, rendering=rendering)
        print(
            f"{options.steps} steps, {DIRECTIONS} directions ({options.deformator}): "
            f"{took[0]:.0f} s of processor time and {took[1]:.0f} s in this run; fresh RCA "
            f"{found.accuracy:.3f} [{found.low:.3f}, {found.high:.3f}], random directions "
            f"{found.random:.3f} [{found.random_low:.3f}, {found.random_high:.3f}]"
        )
        return
    step = official(options.generator, options.space)
    step()
    theirs: list[float] = []
    few = VoynovBabenko(
        n_directions=DIRECTIONS, space=options.space, steps=30, n_codes=64, progress=False
    )
    for _ in range(ROUNDS):
        start = time.process_time()
        step()
        theirs.append(time.process_time() - start)
    ours = steps_of(few, options.generator)
    for _ in range(ROUNDS):
        start = time.process_time()
        step()
        theirs.append(time.process_time() - start)
    print(
        f"{options.generator}, {options.space}, batch {BATCH}, one thread, processor time, medians "
        f"of {len(theirs)} and {len(ours)}: official step {1e3 * median(theirs):.0f} ms, ours "
        f"{1e3 * median(ours):.0f} ms, {median(theirs) / median(ours):.1f} times as fast"
    )


if __name__ == "__main__":
    main()
