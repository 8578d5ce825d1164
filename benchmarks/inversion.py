"""Inversion beside its peers, in one run: projector, Adam, L-BFGS one image at a time, and here.

    python benchmarks/inversion.py                     # digiface64 z, a few images
    python benchmarks/inversion.py --generator styleface64 --space w --images 4
    python benchmarks/inversion.py --success 256 --only-success  # fraction of codes above 100 dB
    python benchmarks/inversion.py --generator styleface64 --success 64 --target 50 --only-success

Figures are kept in `benchmarks/results`: images of `--success` in pieces of 16, so that a run that
ends early goes on, and peers by their name.

Peers, each on its own images one after another, as their code does it: the StyleGAN2-ADA projector
(w-noise, learning rates and 1,000 steps as published; its loss on pixels, since LPIPS needs a
download), Adam with the same schedule, and SciPy's L-BFGS-B. For each peer, ours is asked for the
PSNR that the peer reached: CPU seconds at equal quality, one thread. It starts from the built-in
encoder, or with `--start ridge` from the regression; what is loaded or fitted once for a generator
is timed apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from directions import invert, load_generator
from directions.generators.base import Generator
from directions.inversion import Hybrid, Inversion, Ridge, psnr
from directions.inversion.solvers.adam import schedule
from directions.scoring.rendering import Rendering
from directions.seeds import HELD_OUT_SEED, NAMING_SEED

QUIET = Rendering(progress=False)
# Of one thread, its own time, whatever else the machine does.
clock = time.process_time
RESULTS = Path(__file__).parent / "results"


def projector(generator: Generator, image: Tensor, space: str, steps: int) -> Tensor:
    """The StyleGAN2-ADA projector without noise maps; returns the last code, as the original."""
    rng = torch.Generator().manual_seed(123)
    codes = generator.sample(10_000, seed=123, space=space)
    center = codes.mean(0, keepdim=True)
    sigma = float(((codes - center).square().sum() / len(codes)).sqrt())
    return adam(generator, image, center, space, steps, rate=0.1, noise=0.05 * sigma, rng=rng)


def adam(
    generator: Generator,
    image: Tensor,
    start: Tensor,
    space: str,
    steps: int,
    *,
    rate: float,
    noise: float = 0.0,
    rng: torch.Generator | None = None,
) -> Tensor:
    """Adam with the projector's schedule; the summed squared difference is its loss."""
    code = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([code], betas=(0.9, 0.999), lr=rate)
    for step in range(steps):
        t = step / steps
        optimizer.param_groups[0]["lr"] = rate * schedule(t)
        ramp = max(0.0, 1 - t / 0.75) ** 2
        drawn = torch.randn(code.shape, generator=rng) if noise else torch.zeros_like(code)
        loss = (generator.synthesize(code + noise * ramp * drawn, space) - image).square().sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return code.detach()


def lbfgs(generator: Generator, image: Tensor, start: Tensor, space: str, steps: int) -> Tensor:
    """SciPy's L-BFGS-B on the mean squared difference."""

    def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.tensor(flat, dtype=torch.float32).reshape(start.shape).requires_grad_()
        loss = (generator.synthesize(leaf, space) - image).square().mean()
        [slope] = torch.autograd.grad(loss, leaf)
        return float(loss.detach()), slope.double().flatten().numpy()

    options = {"maxfun": steps, "maxiter": steps, "ftol": 1e-14, "gtol": 1e-12}
    made = minimize(evaluate, start.flatten().numpy(), jac=True, method="L-BFGS-B", options=options)
    return torch.tensor(made.x, dtype=torch.float32).reshape(start.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--space", default=None)
    parser.add_argument("--images", type=int, default=4, help="of each peer")
    parser.add_argument("--batch", type=int, default=16, help="images of the batched run")
    parser.add_argument("--steps", type=int, default=1000, help="of projector and Adam")
    parser.add_argument("--peers", default="projector,Adam,L-BFGS")
    parser.add_argument("--success", type=int, default=0, help="images for the fraction ≥ target")
    parser.add_argument("--target", type=float, default=100.0, help="of these, in decibels")
    parser.add_argument("--only-success", action="store_true")
    parser.add_argument("--start", default="default", choices=["default", "ridge"])
    parser.add_argument("--fit", type=Path, help="folder that keeps the fit of the regression")
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = load_generator(options.generator)
    space = options.space or generator.default_space("w")
    begun = clock()
    options.begin = Ridge(folder=options.fit) if options.start == "ridge" else None
    invert(
        generator, generator.synthesize(generator.sample(1, seed=7, space=space), space),
        space=space, start=options.begin, restarts=0, rendering=QUIET,
    )  # fmt: skip
    print(f"the first inversion of a generator, with what is fitted once: {clock() - begun:.1f} s")
    store = RESULTS / f"inversion-{options.generator}-{space.replace('+', '-plus')}.json"
    if options.success:
        success(generator, space, options.success, store, options.begin, options.target)
    if options.only_success:
        return
    codes = generator.sample(max(options.images, options.batch), seed=HELD_OUT_SEED, space=space)
    with torch.no_grad():
        images = torch.cat([generator.synthesize(part, space) for part in codes.split(16)])
    mean = generator.sample(10_000, seed=123, space=space).mean(0, keepdim=True)
    first = generator.sample(1, seed=7, space=space)
    # At the mean of some generators the image does not change with the code.
    start = mean + 0.5 * (first - mean)
    peers: dict[str, Callable[[Tensor], Tensor]] = {
        "projector": lambda x: projector(generator, x, space, options.steps),
        "Adam": lambda x: adam(generator, x, start, space, options.steps, rate=0.05),
        "L-BFGS": lambda x: lbfgs(generator, x, start, space, 400),
    }
    for name in options.peers.split(","):
        times, reached = [], []
        for image in images[: options.images].split(1):
            begun = clock()
            code = peers[name](image)
            times.append(clock() - begun)
            with torch.no_grad():
                reached.append(float(psnr(generator.synthesize(code, space), image)))
        level = statistics.median(reached)
        alone, batched, found = beside(generator, space, images, level, options)
        ours = found.psnr.tolist()
        row = {
            "start": found.record["start"], "threads": 1,
            "images": options.images, "batch": options.batch,
            "peer_psnr": reached, "peer_seconds": times, "seconds": alone,
            "batched_seconds": batched, "psnr": ours,
        }  # fmt: skip
        keep(store, name, row)
        taken, one = statistics.median(times), statistics.median(alone)
        low, high = min(reached), max(reached)
        print(f"{name:10s} {level:6.1f} dB ({low:.1f} … {high:.1f}) in {taken:7.2f} s an image")
        print(
            f"  ours, batch 1:  {one:6.2f} s, {taken / one:5.1f}×;  batch {options.batch}: "
            f"{batched:6.2f} s, {taken / batched:5.1f}×, median {statistics.median(ours):.1f} dB"
        )


def beside(
    generator: Generator, space: str, images: Tensor, level: float, options: argparse.Namespace
) -> tuple[list[float], float, Inversion]:
    """Seconds of each image alone, seconds an image of a batch, and that batch, to that PSNR."""
    settings = {
        "space": space, "solver": Hybrid(target=level), "start": options.begin,
        "rendering": QUIET,
    }  # fmt: skip
    alone = []
    for image in images[: options.images].split(1):
        begun = clock()
        invert(generator, image, **settings)
        alone.append(clock() - begun)
    begun = clock()
    found = invert(generator, images[: options.batch], **settings)
    return alone, (clock() - begun) / options.batch, found


def success(
    generator: Generator, space: str, count: int, store: Path, start: Ridge | None, target: float
) -> None:
    """The fraction of held-out codes that are inverted to a PSNR, and the error of their codes."""
    columns: dict[str, list[Any]] = {"psnr": [], "error": [], "seconds": [], "starts": []}
    done = kept(store).get("success", {"target": target, **columns})
    if done.setdefault("target", 100.0) != target:
        raise SystemExit(f"{store} has figures of {done['target']:g} dB: take them out first")
    for begin in range(len(done["psnr"]), count, 16):
        codes = generator.sample(min(16, count - begin), seed=NAMING_SEED, start=begin, space=space)
        with torch.no_grad():
            images = generator.synthesize(codes, space)
        found = invert(
            generator, images, space=space, start=start, solver=Hybrid(target=target),
            rendering=QUIET,
        )  # fmt: skip
        error = (found.codes - codes).flatten(1).norm(dim=1) / codes.flatten(1).norm(dim=1)
        done["psnr"] += found.psnr.tolist()
        done["error"] += error.tolist()
        done["seconds"] += found.seconds.tolist()
        done["starts"] += found.starts
        keep(store, "success", done)
    quality, parts = sorted(done["psnr"][:count]), done["starts"][:count]
    above = sum(q >= target for q in quality) / len(quality)
    print(
        f"{len(quality)} held-out codes: {above:.1%} at {target:g} dB and above, median "
        f"{statistics.median(quality):.1f}, least {quality[0]:.1f} dB, median relative error of "
        f"the code {statistics.median(done['error']):.1e}, "
        f"{statistics.mean(done['seconds']):.2f} s an image"
    )
    print(f"  by start: {dict(Counter(parts))}; fewest {[round(q, 1) for q in quality[:16]]}")


def kept(store: Path) -> dict[str, Any]:
    """The figures of earlier runs."""
    return json.loads(store.read_text()) if store.exists() else {}


def keep(store: Path, name: str, figures: dict[str, Any]) -> None:
    """Add figures to those of earlier runs."""
    store.parent.mkdir(exist_ok=True)
    store.write_text(json.dumps({**kept(store), name: figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
