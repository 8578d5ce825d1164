"""Pivotal tuning: a generator's weights changed so that chosen codes make given images.

Roich et al. 2021, "Pivotal Tuning for Latent-based Editing of Real Images", arXiv:2106.05744. The
paper tunes all weights by Adam at 3e-4 for up to 350 steps, on squared error and LPIPS, and stops
once LPIPS is at most 0.06: `Pivotal.original`. The default here changes the convolutions by
matrices of low rank, which takes a tenth of the numbers and leaves other images alone far better,
and holds images of the generator's own codes as the frozen generator makes them; the paper's
locality term holds codes 30 from the pivot instead, and is off by default.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked, checked_fields
from directions.errors import LatdirError, real_number, whole_number
from directions.generators.base import Generator
from directions.generators.deltas import Change, Deltas, changed
from directions.inversion.checks import check_observed
from directions.inversion.objective import psnr
from directions.progress import tqdm
from directions.scoring.features import Features
from directions.seeds import TUNING_SEED

__all__ = ["Pivotal", "Tuning", "tune"]

Form = Literal["low_rank", "channel", "full"]
# Held-out codes whose images are compared before and after.
HELD_OUT = 64
# Of the steps, the last part in which the rate falls to nothing.
FALL = 0.3
# Steps over which the cost is averaged to tell the best.
MEMORY = 0.9


@checked_fields
@dataclass(frozen=True)
class Pivotal:
    """How weights are tuned.

    Attributes:
        form: `low_rank`: a product of two matrices is added to each convolution; `channel`: each
            pair of channels is scaled, as HyperStyle does; `full`: every number may change.
        rank: Of the products.
        steps: Of Adam, at most.
        rate: Its learning rate, which falls to nothing in the last third of the steps.
        locality: Weight of the squared difference of other images from the frozen generator's.
        others: Codes of the prior, fresh at each step, whose images these are.
        goal: PSNR in decibels at which all images are done; None for all steps.
        falling: Whether the rate falls.
    """

    form: Form = "low_rank"
    rank: int = 16
    steps: int = 200
    rate: float = 2e-3
    locality: float = 1.0
    others: int = 4
    goal: float | None = None
    falling: bool = True

    def __post_init__(self) -> None:
        whole_number(self.rank, "rank", least=1)
        whole_number(self.steps, "steps", least=1)
        whole_number(self.others, "others", least=1)
        real_number(self.locality, "locality", least=0.0)
        if self.goal is not None:
            real_number(self.goal, "goal")
        if real_number(self.rate, "rate") <= 0:
            raise LatdirError(f"rate {self.rate} must be above 0")

    @classmethod
    def original(cls, **settings: Any) -> Pivotal:
        """The paper's: every number of the convolutions, Adam at 3e-4, 350 steps, no locality.

        Example:
            >>> Pivotal.original(goal=35.0).rate
            0.0003
        """
        given = {"form": "full", "steps": 350, "rate": 3e-4, "locality": 0.0, "falling": False}
        return cls(**{**given, **settings})


@dataclass(frozen=True, eq=False)
class Tuning:
    """A tuned generator, and what it cost.

    Attributes:
        generator: The tuned copy.
        deltas: What distinguishes it from its base.
        before: `[n]`, PSNR of the images of the codes by the base.
        psnr: `[n]`, by the tuned copy.
        others: `[64]`, PSNR of images of held-out codes by the tuned copy, the base's as truth.
        steps: That were taken.
        seconds: That they took.
    """

    generator: Generator
    deltas: Deltas
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
    images: Float[Tensor, "n 3 h w"],
    codes: Float[Tensor, "n ..."],
    *,
    space: str | None = None,
    method: Pivotal = Pivotal(),
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
        images: `[n, 3, H, W]` in [-1, 1], of the generator's size.
        codes: `[n, *space.shape]`, one for each, such as an inversion's.
        space: Of the codes; by default w where the generator has it, else its first.
        method: How; by default low-rank changes with locality.
        features: Their squared distance is minimized beside that of pixels, such as
            `lpips_features()`.
        name: Of the deltas, appended to the generator's.
        seed: Of the first values of the changes and the codes of other images.
        progress: Whether a bar is shown.

    Returns:
        The tuned generator with its deltas and PSNR before and after, also of other images.

    Raises:
        LatdirError: A generator without weights that may be tuned, images of another size, codes
            of another space or number, or costs that are no longer finite (lower the rate).

    Example:
        >>> from directions import load_generator
        >>> generator = load_generator("styleface64")
        >>> codes = generator.sample(1, seed=1, space="w")
        >>> darker = generator.synthesize(codes, "w") * 0.8
        >>> made = tune(generator, darker, codes, method=Pivotal(steps=5), progress=False)
        >>> bool(made.psnr > made.before)
        True
    """
    where = generator.space(space or generator.default_space("w")).name
    codes = generator.check(codes.detach(), where)
    target = check_observed(generator, images, None)
    begun = time.perf_counter()
    changes = _started(generator, method, seed)
    bar = tqdm(total=method.steps, desc=f"tune {generator.name}", delay=1, disable=not progress)
    with bar:
        kept, steps = _tuned(generator, method, target, codes, where, changes, features, seed, bar)
    taken = time.perf_counter() - begun
    record = {**asdict(method), "space": where, "seed": seed, "steps": steps, "images": len(codes)}
    deltas = Deltas(name, generator.name, generator.fingerprint, kept, record)
    tuned = generator.with_deltas(deltas)
    probe = generator.sample(HELD_OUT, seed=TUNING_SEED, space=where)
    return Tuning(
        tuned,
        deltas,
        psnr(_images(generator, codes, where), target),
        psnr(_images(tuned, codes, where), target),
        psnr(_images(tuned, probe, where), _images(generator, probe, where)),
        steps,
        taken,
    )


def _started(generator: Generator, method: Pivotal, seed: int) -> dict[str, dict[str, Tensor]]:
    """Changes of nothing, whose gradients are not zero."""
    draw = torch.Generator().manual_seed(seed)
    made: dict[str, dict[str, Tensor]] = {}
    own = generator.tunable
    if not own:
        generator.with_weights({})
    for key, weight in own.items():
        rows, columns = weight.shape[0], weight[0].numel()
        if method.form == "full":
            made[key] = {"added": torch.zeros_like(weight)}
        elif method.form == "channel":
            made[key] = {"scale": weight.new_zeros(*weight.shape[:2], 1, 1)}
        else:
            rank = min(method.rank, rows, columns)
            # As large as the weight, so that a rate changes all layers alike.
            right = torch.randn(rank, columns, generator=draw) * float(weight.std())
            made[key] = {"left": weight.new_zeros(rows, rank), "right": right.to(weight)}
    for change in made.values():
        for part in change.values():
            part.requires_grad_()
    return made


def _tuned(
    generator: Generator,
    method: Pivotal,
    target: Tensor,
    codes: Tensor,
    space: str,
    changes: dict[str, dict[str, Tensor]],
    features: Features | None,
    seed: int,
    bar: Any,
) -> tuple[dict[str, Change], int]:
    """The best changes by their averaged cost, in float16, and the steps taken."""
    own = generator.tunable
    free = [part for change in changes.values() for part in change.values()]
    adam = torch.optim.Adam(free, lr=method.rate)
    frozen = generator.inference(space=space)
    average, best, kept, step = math.nan, math.inf, _kept(changes), 0
    wanted = None if features is None else features(target)
    for step in range(1, method.steps + 1):
        if method.falling:
            left = (method.steps - step + 1) / (FALL * method.steps)
            adam.param_groups[0]["lr"] = method.rate * min(1.0, left)
        weights = {key: changed(own[key], change) for key, change in changes.items()}
        tuned = generator.with_weights(weights)
        batch, truth = codes, target
        if method.locality:
            start = (step - 1) * method.others
            drawn = generator.sample(method.others, seed=seed, start=start, space=space)
            batch, truth = torch.cat([codes, drawn.to(codes)]), torch.cat([target, frozen(drawn)])
        made = tuned.synthesize(batch, space)
        errors = (made - truth).square().flatten(1).mean(1)
        cost = errors[: len(codes)].mean()
        reached = float(-10 * torch.log10(errors[: len(codes)].detach().max() / 4))
        if wanted is not None:
            assert features is not None
            cost = cost + (features(made[: len(codes)]) - wanted).square().sum(1).mean()
        if method.locality:
            cost = cost + method.locality * errors[len(codes) :].mean()
        value = float(cost.detach())
        if not math.isfinite(value):
            raise LatdirError(
                f"tuning diverged at step {step}: lower the rate, such as "
                f"Pivotal(rate={method.rate / 4:g})"
            )
        average = value if math.isnan(average) else MEMORY * average + (1 - MEMORY) * value
        if average < best:
            best, kept = average, _kept(changes)
        if method.goal is not None and reached >= method.goal:
            # Before the step, as the paper.
            return _kept(changes), step - 1
        for tensor, slope in zip(free, torch.autograd.grad(cost, free), strict=True):
            tensor.grad = slope
        adam.step()
        bar.update()
    return kept, step


def _kept(changes: dict[str, dict[str, Tensor]]) -> dict[str, Change]:
    return {
        key: {part: tensor.detach().half() for part, tensor in change.items()}
        for key, change in changes.items()
    }


def _images(generator: Generator, codes: Tensor, space: str) -> Tensor:
    with torch.no_grad():
        return torch.cat([generator.synthesize(part, space) for part in torch.split(codes, 16)])
