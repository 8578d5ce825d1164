"""Training of directions that can be told apart: the official step beside ours, and what it finds.

    python benchmarks/contrast.py
    python benchmarks/contrast.py --train --checkpoint contrast.checkpoint
    python benchmarks/contrast.py --judge --checkpoint contrast.checkpoint

The first compares, in turn in one process and in processor time of one thread, a step of Voynov &
Babenko's training as the official code takes it (ResNet-18 on both images in float32, gradients of
the generator's weights too, an orthonormal deformator, batch 32) with one of `VoynovBabenko`. With
`--train` 30 directions are trained, which a checkpoint lets one do in pieces, and with `--judge` a
fresh network measures how well it can tell them, SeFa's and random ones apart, by the number of
codes that it has seen. Both are kept in `results/contrast.json`; figures that are there are not
measured again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from analysis import measure_distinguishability
from directions import DirectionBank, keep_freed_memory, load_generator
from directions.generators import Generator
from directions.scoring.rendering import Rendering
from discovery import SeFa, VoynovBabenko
from discovery.learned import contrast
from discovery.learned.contrast import amounts, contrast_loss
from discovery.learned.networks.deformators import Ortho
from discovery.learned.networks.reconstructors import ResNet18
from discovery.learned.voynov_babenko import Deformed

BATCH, DIRECTIONS, ROUNDS = 32, 30, 6
STEPS, REACH = 3000, 4.0
JUDGED = (1024, 4096)
RESULTS = Path(__file__).parent / "results" / "contrast.json"


def official(name: str, space: str | None) -> Callable[[], None]:
    """A step as the official trainer takes it."""
    generator = load_generator(name)
    space = space or generator.default_space("w")
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


def trained(options: argparse.Namespace, generator: Generator) -> DirectionBank:
    """The directions; the time of a training that began in this run is kept."""
    method = VoynovBabenko(
        n_directions=DIRECTIONS, space=options.space, steps=options.steps, reach=REACH,
        progress=False,
    )  # fmt: skip
    whole = not (options.checkpoint and options.checkpoint.exists())
    begun, wall = time.process_time(), time.perf_counter()
    bank = method.discover(generator, checkpoint=options.checkpoint)
    if whole:
        kept(
            f"{options.generator}/training",
            {
                "directions": DIRECTIONS,
                "steps": options.steps,
                "reach": REACH,
                "processor seconds": round(time.process_time() - begun),
                "seconds": round(time.perf_counter() - wall),
                "accuracy of its own network": round(bank.provenance["accuracy"], 3),
            },
        )
    return bank


def judged(options: argparse.Namespace, generator: Generator, bank: DirectionBank) -> None:
    """RCA of the trained directions and of SeFa's, for each number of codes."""
    rendering = Rendering(precision="bfloat16", progress=False, batch_size=64)
    banks = {"voynov_babenko": bank, "sefa": SeFa(n_directions=DIRECTIONS).discover(generator)}
    for count in JUDGED:
        for name, each in banks.items():
            key = f"{options.generator}/{name}/{count}"
            if key in stored():
                continue
            begun = time.process_time()
            found = measure_distinguishability(generator, each, count=count, rendering=rendering)
            figures = {k: v for k, v in found.as_dict().items() if isinstance(v, float)}
            kept(
                key,
                {k: round(v, 3) for k, v in figures.items()}
                | {"codes": count, "processor seconds": round(time.process_time() - begun)},
            )


def stored() -> dict[str, Any]:
    """What is kept."""
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


def kept(key: str, figures: dict[str, Any]) -> None:
    """Keep figures, and print them."""
    RESULTS.write_text(json.dumps(stored() | {key: figures}, indent=1) + "\n")
    print(key, figures, flush=True)


def main() -> None:
    """Print both times of a step, or train, or judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--space")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--judge", action="store_true")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    if options.train or options.judge:
        generator = load_generator(options.generator)
        bank = trained(options, generator)
        if options.judge:
            judged(options, generator, bank)
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
        f"{options.generator}, batch {BATCH}, one thread, processor time, medians "
        f"of {len(theirs)} and {len(ours)}: official step {1e3 * median(theirs):.0f} ms, ours "
        f"{1e3 * median(ours):.0f} ms, {median(theirs) / median(ours):.1f} times as fast"
    )


if __name__ == "__main__":
    main()
