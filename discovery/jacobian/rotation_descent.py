"""Rotations of a basis that make its directions interact less: what two methods share.

`OroJaR` and `HessianPenalty` penalize interactions of random signs of the directions; both turn
the eigenvectors of the mean metric by descent on such a penalty, and rank what comes out by how
much it changes the image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.errors import LatdirError
from directions.executors import Executor
from directions.generators.base import Generator
from directions.numerics.eigen import Spectrum, eigh, signed
from directions.progress import tqdm
from discovery.base import GeneratorMethod, tool
from discovery.jacobian.models import MetricAt, eigen_bank, metrics

__all__ = [
    "N_EVALUATION_CODES",
    "Images",
    "Penalty",
    "RotationMethod",
    "descend",
    "image_function",
    "random_signs",
    "ranked_bank",
]

Images = Callable[[Tensor], Tensor]
Penalty = Callable[[Images, Tensor, Tensor], Tensor]
"""Of the image function, codes `[n, ...]` and two tangents a code `[2, n, d]`."""

# Codes whose penalty is compared before and after.
N_EVALUATION_CODES = 64


@dataclass(frozen=True)
class RotationMethod(GeneratorMethod):
    """Methods that turn the eigenvectors of the mean metric.

    Attributes:
        n_directions: Maximum number of directions; fewer where the codes have fewer dimensions.
        n_codes: Number of codes that rank the directions and start the descent.
        space: Latent space; by default `w` where there is one, otherwise the generator's own.
        steps: Of the descent.
        batch_size: Codes a step of the descent.
        rate: Learning rate of the descent, in radians.
        chunk: Tangents at a time; by default as many as memory allows.
        executor: Where Jacobians are taken (`directions.executors`); by default here.
    """

    n_directions: int = 20
    n_codes: int = 20
    space: str | None = None
    steps: int = 300
    batch_size: int = 8
    rate: float = 0.02
    chunk: int | None = None
    executor: Executor | None = tool()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("rate")

    def _started(
        self, generator: Generator, seed: int
    ) -> tuple[str, Float[Tensor, "n d d"], Float[Tensor, "d d"]]:
        """The space, JᵀJ at each code, and the eigenvectors of its mean."""
        space = self.space or generator.default_space("w")
        codes = generator.sample(self.n_codes, seed=seed, space=space)
        at = MetricAt(generator, space, chunk=self.chunk)
        local = torch.stack([*metrics(at, codes, executor=self.executor)])
        return space, local, eigh(local.mean(0)).vectors


def descend(
    method: RotationMethod,
    penalty: Penalty,
    generator: Generator,
    space: str,
    start: Float[Tensor, "d d"],
    seed: int,
) -> Float[Tensor, "d d"]:
    """Adam on the rotation that takes `start` to the basis, with a falling rate.

    Args:
        method: Steps, codes a step and rate.
        penalty: The objective to minimize.
        generator: Makes the images.
        space: Name of the codes' space.
        start: Orthonormal rows.
        seed: Of the codes and signs.

    Raises:
        LatdirError: The penalty is not finite.
    """
    images = image_function(generator, space)
    rng = torch.Generator().manual_seed(seed % 2**63)
    turn = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([turn], lr=method.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, method.steps)
    first = method.n_codes + N_EVALUATION_CODES
    scale: float | None = None
    with torch.enable_grad():
        for step in tqdm(range(method.steps), desc=method.method, delay=1, leave=False):
            codes = generator.sample(
                method.batch_size, seed=seed, start=first + step * method.batch_size, space=space
            )
            basis = torch.matrix_exp(turn - turn.T) @ start
            signs = random_signs(method.batch_size, len(start), rng).to(codes)
            loss = penalty(images, codes, signs @ basis.to(codes))
            if not torch.isfinite(loss):
                raise LatdirError(
                    f"the penalty is {float(loss.detach())} at step {step}: "
                    "the images are not finite"
                )
            # Adam does not mind the scale of the loss, except where it nears its epsilon.
            scale = scale or max(float(loss.detach()), 1e-300)
            (turn.grad,) = torch.autograd.grad(loss / scale, turn)
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return torch.matrix_exp(turn - turn.T) @ start


def random_signs(batch: int, size: int, rng: torch.Generator) -> Float[Tensor, "2 batch size"]:
    """Two independent vectors of signs for each of `batch` codes."""
    return torch.randint(0, 2, (2, batch, size), generator=rng) * 2.0 - 1.0


def image_function(generator: Generator, space: str) -> Images:
    """The images of codes of one space."""
    return lambda codes: generator.synthesize(codes, space)


def ranked_bank(
    method: RotationMethod,
    generator: Generator,
    space: str,
    basis: Float[Tensor, "d d"],
    local: Float[Tensor, "n d d"],
    seed: int,
    *,
    before: float,
    after: float,
) -> DirectionBank:
    """The directions of a basis by descending gain, vᵀ E[JᵀJ] v.

    Args:
        method: Whose settings they are.
        generator: Whose codes they move.
        space: Name of their space.
        basis: Orthonormal rows.
        local: JᵀJ at each code.
        seed: Of the codes.
        before: Interaction of the eigenvectors that the basis was turned from.
        after: Interaction of the basis.
    """
    gains = torch.einsum("kd,de,ke->k", basis, local.mean(0), basis)
    values, order = gains.sort(descending=True)
    count = min(method.n_directions, len(basis))
    # No ties are reported: the penalty distinguishes directions of equal gain.
    spectrum = Spectrum(
        values=values[:count],
        vectors=signed(basis[order[:count]]),
        total=float(gains.sum()),
    )
    return eigen_bank(
        generator,
        spectrum,
        space=space,
        method=method.method,
        config=method.config,
        provenance={
            "seed": seed,
            "samples": len(local),
            "interaction_before": before,
            "interaction": after,
        },
    )
