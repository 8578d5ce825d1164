"""A generator tuned to images: the changes learned, applied, and measured on other images."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.generators.base import Generator
from directions.generators.deltas import Deltas
from directions.inversion.checks import check_finite, check_observed
from directions.inversion.objective import Degradation, psnr
from directions.inversion.tuning.base import Task, Tuner
from directions.inversion.tuning.local import LocalPivotal
from directions.progress import tqdm
from directions.scoring.features import Features
from directions.seeds import TUNING_SEED

__all__ = ["Tuning", "tune"]

# Held-out codes whose images are compared before and after.
HELD_OUT, BATCH = 64, 16


@dataclass(frozen=True, eq=False)
class Tuning:
    """A tuned generator, and what it cost.

    Attributes:
        generator: The tuned copy.
        deltas: What distinguishes it from its base.
        codes: `[n, *space.shape]`, that make the images.
        before: `[n]`, PSNR of the images of the first codes by the base.
        psnr: `[n]`, of the codes by the tuned copy.
        others: `[64]`, PSNR of images of held-out codes by the tuned copy, the base's as truth.
        steps: That were taken.
        seconds: That they took.
    """

    generator: Generator
    deltas: Deltas
    codes: Float[Tensor, "n ..."]
    before: Float[Tensor, "n"]
    psnr: Float[Tensor, "n"]
    others: Float[Tensor, "64"]
    steps: int
    seconds: float = field(compare=False)

    def __repr__(self) -> str:
        return (
            f"<{self.generator.name}: {float(self.before.median()):.1f} -> "
            f"{float(self.psnr.median()):.1f} dB, other images {float(self.others.median()):.1f} "
            f"dB as before, {self.deltas.size / 1e6:.2f} MB>"
        )


@checked
def tune(
    generator: Generator,
    images: Float[Tensor, "n ..."],
    codes: Float[Tensor, "n ..."] | None = None,
    *,
    space: str | None = None,
    method: Tuner = LocalPivotal(),
    degradation: Degradation | None = None,
    features: Features | None = None,
    name: str = "tuned",
    seed: int = 0,
    progress: bool = True,
) -> Tuning:
    """Change a generator's weights a little, so that codes make given images.

    All images share one tuned generator. Edit it as its base: directions of the base are taken,
    with a note.

    Args:
        generator: A DCGAN or a StyleGAN; it stays as it is.
        images: `[n, 3, H, W]` in [-1, 1], of the generator's size; or what a degradation made
            of such.
        codes: `[n, *space.shape]`, one for each, such as an inversion's; `Progressive` chooses
            its own where none are given.
        space: Of the codes; by default w where the generator has it, else its first.
        method: How; by default `LocalPivotal`: low-rank changes that hold other images.
        degradation: What the images have gone through, such as a mask; by default nothing.
        features: Their distance is minimized beside that of pixels, such as `lpips_features()`.
        name: Of the deltas, appended to the generator's.
        seed: Of the first values of the changes and the codes of other images.
        progress: Whether a bar is shown.

    Returns:
        The tuned generator with its deltas and PSNR before and after, also of other images.

    Raises:
        LatdirError: A generator without weights that may be tuned, images of another size or not
            finite, codes of another space or number, or costs that are no longer finite (lower
            the rate).

    Example:
        >>> from directions import load_generator
        >>> generator = load_generator("styleface64")
        >>> codes = generator.sample(1, seed=1, space="w")
        >>> darker = generator.synthesize(codes, "w") * 0.8
        >>> quick = LocalPivotal(steps=8, probes=16)
        >>> made = tune(generator, darker, codes, method=quick, progress=False)
        >>> bool(made.psnr > made.before)
        True
    """
    where = generator.space(space or generator.default_space("w")).name
    given = None if codes is None else generator.check(codes.detach(), where)
    observed = check_finite(check_observed(generator, images, degradation))
    begun = time.perf_counter()
    bar = tqdm(total=method.longest, desc=f"tune {generator.name}", delay=1, disable=not progress)
    with bar:
        task = Task(generator, where, observed, given, degradation, features, seed, bar)
        first = method.first(task) if given is None else given
        found = method.solve(replace(task, codes=first))
    taken = time.perf_counter() - begun
    record = {**asdict(method), "method": type(method).__name__, "space": where, "seed": seed}
    record |= {"steps": found.steps, "images": len(first)}
    deltas = Deltas(name, generator.name, generator.fingerprint, found.changes, record)
    tuned = generator.with_deltas(deltas)
    probe = generator.sample(HELD_OUT, seed=TUNING_SEED, space=where)
    with torch.no_grad():
        return Tuning(
            tuned,
            deltas,
            found.codes,
            psnr(task.degraded(_images(generator, first, where)), observed),
            psnr(task.degraded(_images(tuned, found.codes, where)), observed),
            psnr(_images(tuned, probe, where), _images(generator, probe, where)),
            found.steps,
            taken,
        )


def _images(generator: Generator, codes: Tensor, space: str) -> Tensor:
    render = generator.inference(space=space)
    return torch.cat([render(part) for part in torch.split(codes, BATCH)])
