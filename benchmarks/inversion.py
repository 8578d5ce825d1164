"""Inversion beside its peers, in one run: projector, Adam, L-BFGS one image at a time, and here.

    python benchmarks/inversion.py                     # digiface64 z, a few images
    python benchmarks/inversion.py --generator styleface64 --space w --images 4
    python benchmarks/inversion.py --success 64        # fraction of codes above 100 dB

Peers, each on its own images one after another, as their code does it: the StyleGAN2-ADA projector
(w-noise, learning rates and 1,000 steps as published; its loss on pixels, since LPIPS needs a
download), Adam with the same schedule, and SciPy's L-BFGS-B. For each peer, ours is asked for the
PSNR that the peer reached: seconds at equal quality. The fit of the start is timed apart: it is
made once for a generator.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from directions import invert, load_generator
from directions.generators.base import Generator
from directions.inversion import Hybrid, Ridge, fitted, psnr
from directions.inversion.solvers.adam import schedule
from directions.scoring.rendering import Rendering
from directions.seeds import HELD_OUT_SEED, NAMING_SEED

QUIET = Rendering(progress=False)


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
    parser.add_argument("--success", type=int, default=0, help="images for the fraction ≥ 100 dB")
    parser.add_argument("--only-success", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = load_generator(options.generator)
    space = options.space or generator.default_space("w")
    begun = time.perf_counter()
    fitted(generator, space=space, metric=True)
    print(f"fit of the start, once for a generator: {time.perf_counter() - begun:.1f} s")
    if options.success:
        success(generator, space, options.success)
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
    for name, peer in peers.items():
        times, reached = [], []
        for i in range(options.images):
            begun = time.perf_counter()
            code = peer(images[i : i + 1])
            times.append(time.perf_counter() - begun)
            with torch.no_grad():
                made = generator.synthesize(code, space)
            reached.append(float(psnr(made, images[i : i + 1])))
        taken, level = statistics.median(times), statistics.median(reached)
        low, high = min(reached), max(reached)
        print(f"{name:10s} {level:6.1f} dB ({low:.1f} … {high:.1f}) in {taken:7.2f} s an image")
        solver = Hybrid(target=level)
        alone = []
        for i in range(options.images):
            begun = time.perf_counter()
            invert(generator, images[i : i + 1], space=space, solver=solver, rendering=QUIET)
            alone.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        batch = images[: options.batch]
        found = invert(generator, batch, space=space, solver=solver, rendering=QUIET)
        batched = (time.perf_counter() - begun) / len(batch)
        one = statistics.median(alone)
        print(
            f"  ours, batch 1:  {one:6.2f} s, {taken / one:5.1f}×;  batch {len(batch)}: "
            f"{batched:6.2f} s, {taken / batched:5.1f}×, median {float(found.psnr.median()):.1f} dB"
        )


def success(generator: Generator, space: str, count: int) -> None:
    """The fraction of held-out codes that are inverted to 100 dB, and the error of their codes."""
    codes = generator.sample(count, seed=NAMING_SEED, space=space)
    with torch.no_grad():
        images = torch.cat([generator.synthesize(part, space) for part in codes.split(16)])
    begun = time.perf_counter()
    found = invert(generator, images, space=space, start=Ridge(), rendering=QUIET)
    taken = (time.perf_counter() - begun) / count
    error = (found.codes - codes).flatten(1).norm(dim=1) / codes.flatten(1).norm(dim=1)
    quality = found.psnr.sort().values
    print(
        f"{count} held-out codes: {float((quality >= 100).float().mean()):.1%} at 100 dB and "
        f"above, median {float(quality.median()):.1f}, least {float(quality[0]):.1f} dB, median "
        f"relative error of the code {float(error.median()):.1e}, {taken:.2f} s an image"
    )
    print(f"  {found}; fewest {[round(q, 1) for q in quality[: math.ceil(count / 16)].tolist()]}")


if __name__ == "__main__":
    main()
