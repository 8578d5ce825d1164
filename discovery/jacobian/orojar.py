"""Orthonormal bases whose directions do not interact in the image.

`OroJaR` — Yuxiang Wei, Yupeng Shi, Xiao Liu, Zhilong Ji, Yuan Gao, Zhongqin Wu, Wangmeng Zuo:
Orthogonal Jacobian Regularization for Unsupervised Disentanglement in Image Generation, ICCV
2021, arXiv:2108.07668. The changes that two directions make in the image should be orthogonal at
every code: AᵀJᵀJA diagonal. The paper penalizes the variance of ‖J A v‖² over random signs v,
which is twice the sum of squares off the diagonal. `exact` computes JᵀJ at the codes and minimizes
that sum itself, by joint diagonalization; `sampled` descends on the paper's estimate, for spaces
so large that exact metrics cost too much.

`HessianPenalty` — William Peebles, John Peebles, Jun-Yan Zhu, Alexei Efros, Antonio Torralba: The
Hessian Penalty: A Weak Prior for Unsupervised Disentanglement, ECCV 2020, arXiv:2008.10599. The
change one direction makes should not depend on another: AᵀHA diagonal for every pixel's Hessian H,
penalized through the variance of a second difference over random signs.

Differences from the official code: OroJaR's is evaluated at codes of the prior, not at zero, with
exact Jacobian products instead of differences; the Hessian penalty is averaged over pixels, where
the official one follows the worst pixel of each step; A is square and starts at the eigenvectors
of the mean metric, and directions are ranked by how much they change the image, since a small
number of columns would seek out directions that do nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from directions.bank import DirectionBank
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.numerics.eigen import Spectrum, eigh, signed
from directions.numerics.linearized import pushforward
from discovery.base import Method, Need
from discovery.decomposition.joint_diagonalization import diagonalize, off_diagonal
from discovery.jacobian.models import eigen_bank, metrics, natural_space

__all__ = ["HessianPenalty", "OroJaR"]

Images = Callable[[Tensor], Tensor]
Penalty = Callable[[Images, Tensor, Tensor], Tensor]

# Codes whose penalty is compared before and after.
JUDGED = 64


@dataclass(frozen=True)
class OroJaR(Method):
    """The basis whose directions change the image orthogonally, at all codes together.

    Attributes:
        components: How many directions, at most; fewer where the codes have fewer dimensions.
        samples: Number of codes whose JᵀJ are diagonalized, or that start a sampled descent.
        space: Latent space; by default `w` where there is one, otherwise the generator's own.
        solver: `exact` joint diagonalization, or `sampled` descent.
        steps: Of the descent.
        batch: Codes a step of the descent.
        rate: Learning rate of the descent, in radians.
        chunk: Tangents at a time; by default as many as memory allows.

    Example:
        >>> from directions.generators import load_generator
        >>> OroJaR(components=2, samples=4).discover(load_generator("planted"))
        DirectionBank(planted: orojar_00, orojar_01)
    """

    components: int = 20
    samples: int = 50
    space: str | None = None
    solver: Literal["exact", "sampled"] = "exact"
    steps: int = 300
    batch: int = 8
    rate: float = 0.02
    chunk: int | None = None

    method: ClassVar[str] = "orojar"
    needs: ClassVar[tuple[Need, ...]] = ("generator",)

    def __post_init__(self) -> None:
        if self.solver not in ("exact", "sampled"):
            raise LatdirError(f"solver is exact or sampled, not {self.solver!r}")
        _check(self.components, self.samples, self.steps, self.batch, self.rate)

    def discover(self, generator: Generator, *, seed: int = 0) -> DirectionBank:
        """Find the basis.

        Args:
            generator: Any generator.
            seed: Of the codes and signs.

        Returns:
            Directions by descending mean squared change of the image (`eigenvalue`). The bank's
            provenance has `interaction`, the share of the squared JᵀJ off the diagonal, for the
            eigenvectors of the mean metric (`interaction_before`) and for this basis.

        Raises:
            LatdirError: An unknown space, or no convergence.
        """
        space = self.space or natural_space(generator)
        codes = generator.sample(self.samples, seed=seed, space=space)
        local = torch.stack([*metrics(generator, codes, space=space, chunk=self.chunk)])
        start = eigh(local.mean(0)).vectors
        if self.solver == "exact":
            basis = diagonalize(local, start=start)
        else:
            basis = _descend(self, _orojar_penalty, generator, space, start, seed)
        return _ranked_bank(
            self,
            generator,
            space,
            basis,
            local,
            seed,
            before=off_diagonal(start @ local @ start.T),
            after=off_diagonal(basis @ local @ basis.T),
        )


@dataclass(frozen=True)
class HessianPenalty(Method):
    """The basis whose directions do not modulate each other's effect.

    Attributes:
        components: How many directions, at most; fewer where the codes have fewer dimensions.
        samples: Number of codes that rank the directions and start the descent.
        space: Latent space; by default `w` where there is one, otherwise the generator's own.
        epsilon: Step of the second difference, in latent units; each of the d directions moves
            by it at once.
        steps: Of the descent.
        batch: Codes a step of the descent.
        rate: Learning rate of the descent, in radians.
        chunk: Tangents at a time; by default as many as memory allows.

    Example:
        >>> from directions.generators import load_generator
        >>> HessianPenalty(components=2, samples=4, steps=2).discover(load_generator("planted"))
        DirectionBank(planted: hessian_00, hessian_01)
    """

    components: int = 20
    samples: int = 20
    space: str | None = None
    epsilon: float = 0.1
    steps: int = 300
    batch: int = 8
    rate: float = 0.02
    chunk: int | None = None

    method: ClassVar[str] = "hessian"
    needs: ClassVar[tuple[Need, ...]] = ("generator",)

    def __post_init__(self) -> None:
        if not self.epsilon > 0:
            raise LatdirError(f"epsilon is positive, not {self.epsilon}: the paper takes 0.1")
        _check(self.components, self.samples, self.steps, self.batch, self.rate)

    def discover(self, generator: Generator, *, seed: int = 0) -> DirectionBank:
        """Find the basis.

        Args:
            generator: Any generator.
            seed: Of the codes and signs.

        Returns:
            Directions by descending mean squared change of the image (`eigenvalue`). The bank's
            provenance has the penalty on codes not trained on, `interaction_before` and
            `interaction`: report them, for where they agree nothing was learned.

        Raises:
            LatdirError: An unknown space, or images that are not finite.
        """
        space = self.space or natural_space(generator)
        codes = generator.sample(self.samples, seed=seed, space=space)
        local = torch.stack([*metrics(generator, codes, space=space, chunk=self.chunk)])
        start = eigh(local.mean(0)).vectors

        def penalty(images: Images, codes: Tensor, tangents: Tensor) -> Tensor:
            return _hessian_penalty(images, codes, tangents, self.epsilon)

        basis = _descend(self, penalty, generator, space, start, seed)
        judge = generator.sample(JUDGED, seed=seed, start=self.samples, space=space)
        images, rng = _images(generator, space), torch.Generator().manual_seed(seed % 2**63)
        signs = _signs(JUDGED, len(start), rng).to(judge)
        with torch.no_grad():
            before, after = (
                float(penalty(images, judge, signs @ a.to(judge))) for a in (start, basis)
            )
        return _ranked_bank(self, generator, space, basis, local, seed, before=before, after=after)


def _orojar_penalty(images: Images, codes: Tensor, tangents: Float[Tensor, "2 n d"]) -> Tensor:
    """Variance over two sign vectors of ‖J A v‖², averaged over codes."""
    moved = [pushforward(images, codes, t.reshape(codes.shape)) for t in tangents]
    first, second = (m.flatten(1).square().sum(1) for m in moved)
    return ((first - second).square() / 2).mean()


def _hessian_penalty(
    images: Images, codes: Tensor, tangents: Float[Tensor, "2 n d"], epsilon: float
) -> Tensor:
    """Variance over two sign vectors of the second difference, averaged over pixels and codes."""
    steps = epsilon * tangents.reshape(2, *codes.shape)
    # The middle term of a second difference is the same for both, so that the variance loses it.
    outer = [images(codes + s) + images(codes - s) for s in steps]
    return (((outer[0] - outer[1]) / epsilon**2).square() / 2).mean()


def _descend(
    method: OroJaR | HessianPenalty,
    penalty: Penalty,
    generator: Generator,
    space: str,
    start: Float[Tensor, "d d"],
    seed: int,
) -> Float[Tensor, "d d"]:
    """Adam on the rotation that takes `start` to the basis, with a falling rate."""
    images = _images(generator, space)
    rng = torch.Generator().manual_seed(seed % 2**63)
    turn = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([turn], lr=method.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, method.steps)
    first = method.samples + JUDGED
    scale: float | None = None
    with torch.enable_grad():
        for step in tqdm(range(method.steps), desc=method.method, delay=1, leave=False):
            codes = generator.sample(
                method.batch, seed=seed, start=first + step * method.batch, space=space
            )
            basis = torch.matrix_exp(turn - turn.T) @ start
            signs = _signs(method.batch, len(start), rng).to(codes)
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


def _signs(batch: int, size: int, rng: torch.Generator) -> Float[Tensor, "2 batch size"]:
    return torch.randint(0, 2, (2, batch, size), generator=rng) * 2.0 - 1.0


def _images(generator: Generator, space: str) -> Images:
    return lambda codes: generator.synthesize(codes, space)


def _ranked_bank(
    method: OroJaR | HessianPenalty,
    generator: Generator,
    space: str,
    basis: Float[Tensor, "d d"],
    local: Float[Tensor, "n d d"],
    seed: int,
    *,
    before: float,
    after: float,
) -> DirectionBank:
    gains = torch.einsum("kd,de,ke->k", basis, local.mean(0), basis)
    values, order = gains.sort(descending=True)
    count = min(method.components, len(basis))
    # No ties are reported: the penalty tells directions of equal gain apart.
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


def _check(components: int, samples: int, steps: int, batch: int, rate: float) -> None:
    if min(components, samples, steps, batch) < 1 or not rate > 0:
        raise LatdirError(
            f"components {components}, samples {samples}, steps {steps} and batch {batch} are "
            f"at least 1, rate {rate} is positive"
        )
