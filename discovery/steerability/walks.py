"""Learned walks: latent steps whose images best match an edit of the image.

Ali Jahanian, Lucy Chai, Phillip Isola: On the "steerability" of generative adversarial networks,
ICLR 2020, arXiv:1907.07171. A linear walk w minimizes the mean over codes z and amounts α of

    ‖M (G(z + α w) - edit(G(z), α))‖²,

with M the pixels that the edit defines. A neural walk replaces z + α w by following a field v(z)
given by a small network, so that the path bends with the code.

Differences from the official code: amounts are continuous and of both signs, with one field for
both, where there are two networks of fixed steps; codes and amounts come from a seed; and what
the walk achieves is measured on held-out codes, since many edits are beyond a generator.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import ConvergenceError, LatdirError
from directions.generators.base import Generator
from directions.paths.neural_walk import NeuralWalk, follow
from directions.progress import tqdm
from discovery.base import GeneratorMethod
from discovery.steerability.image_edits import Edit, edits_named

__all__ = ["NeuralWalk", "Walks"]

HELD_OUT = 256
# Below this fraction of an edit's change, a walk produces something else.
MIN_EXPLAINED_VARIANCE = 0.1

log = logging.getLogger(__name__)

Move = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Walks(GeneratorMethod):
    """Linear walks fitted to edits of images.

    Attributes:
        transforms: Which of shift_x, shift_y, zoom, rotate, brightness, red, green, blue.
        space: Latent space to walk in; by default `w` where there is one, otherwise the first.
        steps: Steps of the optimizer.
        batch_size: Codes a step.
        rate: Length of the first steps, in latent units at the largest amount.
        reach: Range of the edits, 1 being 0.15 frames, 0.4 doublings, 20 degrees or half the
            range of a color, both ways.
        hidden: Units of the neural walk's field.

    Example:
        >>> from directions.generators import load_generator
        >>> walks = Walks(transforms="brightness", steps=5, batch_size=4)
        >>> list(walks.discover(load_generator("planted")))
        ['brightness']
    """

    transforms: str = "shift_x,shift_y,zoom,rotate,brightness,red,green,blue"
    space: str | None = None
    steps: int = 300
    batch_size: int = 16
    rate: float = 0.2
    reach: float = 1.0
    hidden: int = 32

    method: ClassVar[str] = "walks"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_least(1, "hidden")
        self._check_positive("rate", "reach")

    def discover(self, generator: Generator, *, seed: int = 0) -> DirectionBank:
        """Fit a linear walk to each edit.

        Args:
            generator: Any generator through which gradients flow.
            seed: Of codes and amounts.

        Returns:
            A direction an edit, positive as the edit. Evidence has `explained`, the share of the
            edit's change that the walk brings about on 256 held-out codes (1 would be the edit
            itself, 0 or less means that this generator cannot do it), and `latent_per_unit` with
            `unit`, the step per amount of the edit.

        Raises:
            LatdirError: An unknown edit or space, or images without gradients.
        """
        fit = _Fit(self, generator, seed)
        prior = generator.prior(fit.space)
        directions = []
        for edit in edits_named(self.transforms):
            w, explained = fit.linear(edit)
            vector = w.reshape(generator.space(fit.space).shape)
            made = Direction.from_vector(
                edit.name,
                vector,
                space=fit.space,
                method=self.method,
                config=self.config,
                evidence={
                    "explained": explained,
                    "latent_per_unit": float(w.double().norm()),
                    "unit": edit.unit,
                },
            )
            directions.append(made.evolve(sigma=prior.sigma(made.vector)))
        provenance = {"seed": seed}
        return DirectionBank.of(generator, tuple(directions), provenance)

    def bend(self, generator: Generator, *, seed: int = 0) -> dict[str, NeuralWalk]:
        """Fit a neural walk to each edit, each starting from its linear one.

        Arguments and errors are those of `discover`.
        """
        fit = _Fit(self, generator, seed)
        return {edit.name: fit.neural(edit) for edit in edits_named(self.transforms)}


class _Fit:
    """State shared by all edits of a run: one generator, one seed."""

    def __init__(self, walks: Walks, generator: Generator, seed: int) -> None:
        self.walks, self.generator, self.seed = walks, generator, seed
        self.space = generator.space(walks.space or generator.default_space("w")).name
        self.size = generator.space(self.space).size

    def _reach(self, edit: Edit) -> float:
        return edit.reach * self.walks.reach

    def linear(self, edit: Edit) -> tuple[Float[Tensor, "d"], float]:
        """The walk per unit of the edit, and the fraction of the edit it explains."""
        # In units of the edit's reach, so that one step size suits every edit.
        w = torch.zeros(self.size, device=self.generator.device, requires_grad=True)

        def move(codes: Tensor, fractions: Tensor) -> Tensor:
            return codes + fractions[:, None] * w

        self._train(edit, move, [w])
        found = w.detach()
        if not float(found.norm()):
            raise LatdirError(
                f"{edit.name} changes nothing known in {self.generator.name}'s images"
            )
        return found / self._reach(edit), self._explained(edit, move)

    def neural(self, edit: Edit) -> NeuralWalk:
        """The curved walk."""
        start, _ = self.linear(edit)
        rng = torch.Generator().manual_seed(self.seed % 2**63)
        hidden, size, device = self.walks.hidden, self.size, self.generator.device
        inner = (torch.randn(hidden, size, generator=rng) / size**0.5).to(device)
        field = [
            (start * self._reach(edit)).clone(),
            inner,
            torch.zeros(hidden, device=device),
            torch.zeros(size, hidden, device=device),
        ]
        for parameter in field:
            parameter.requires_grad_()

        def move(codes: Tensor, fractions: Tensor) -> Tensor:
            return follow(codes, fractions, field)

        self._train(edit, move, field)
        w, inner, offset, outer = (p.detach() for p in field)
        codes = self._codes(HELD_OUT, start=0)
        velocity = (w + torch.tanh(codes @ inner.T + offset) @ outer.T) / self._reach(edit)
        mean = velocity.mean(0)
        prior = self.generator.prior(self.space)
        return NeuralWalk(
            name=edit.name,
            unit=edit.unit,
            space=self.space,
            w=w / self._reach(edit),
            inner=inner,
            offset=offset,
            outer=outer / self._reach(edit),
            speed=float(velocity.norm(dim=1).mean()),
            sigma=prior.sigma(mean / mean.norm()),
            explained=self._explained(edit, move),
            generator=self.generator.name,
            fingerprint=self.generator.fingerprint,
        )

    def _train(self, edit: Edit, move: Move, parameters: Sequence[Tensor]) -> None:
        walks = self.walks
        rng = torch.Generator().manual_seed(self.seed % 2**63)
        optimizer = _Descent(parameters)
        for step in tqdm(range(walks.steps), desc=f"walk: {edit.name}", leave=False, delay=1):
            codes = self._codes(walks.batch_size, start=HELD_OUT + step * walks.batch_size)
            fractions = 2 * torch.rand(walks.batch_size, generator=rng).to(codes.device) - 1
            loss, scale = self._losses(edit, move, codes, fractions)
            if not loss.requires_grad:
                raise LatdirError(
                    f"no gradient reaches the codes of {self.generator.name}: "
                    "its images must be differentiable"
                )
            gradients = torch.autograd.grad(loss / scale.clamp_min(1e-12), parameters)
            # The rate falls to zero, so that the last steps average out the noise of the batches.
            optimizer.step(gradients, walks.rate * (1 + math.cos(math.pi * step / walks.steps)) / 2)

    def _explained(self, edit: Edit, move: Move) -> float:
        rng = torch.Generator().manual_seed((self.seed + 1) % 2**63)
        losses = []
        with torch.no_grad():
            for part in torch.split(self._codes(HELD_OUT, start=0), self.walks.batch_size):
                fractions = 2 * torch.rand(len(part), generator=rng).to(part.device) - 1
                losses.append(torch.stack(self._losses(edit, move, part, fractions)))
        loss, scale = torch.stack(losses).double().sum(0).tolist()
        if not math.isfinite(loss):
            raise ConvergenceError(
                f"the walk of {edit.name} left all bounds: lower rate, {self.walks.rate:g}"
            )
        explained = 1 - loss / scale if scale else 0.0
        if explained < MIN_EXPLAINED_VARIANCE:
            log.warning(
                "%s brings about %.0f %% of %s: it cannot do this edit",
                self.generator.name,
                100 * explained,
                edit.name,
            )
        return explained

    def _losses(
        self, edit: Edit, move: Move, codes: Float[Tensor, "n d"], fractions: Float[Tensor, "n"]
    ) -> tuple[Tensor, Tensor]:
        """The objective, and its value for a walk that does not move."""
        shape = self.generator.space(self.space).shape
        with torch.no_grad():
            images = self.generator.synthesize(codes.reshape(-1, *shape), self.space)
            target, known = edit(images, fractions * self._reach(edit))
        moved = self.generator.synthesize(move(codes, fractions).reshape(-1, *shape), self.space)
        loss = (known * (moved - target)).square().sum()
        return loss, (known * (images - target)).square().sum()

    def _codes(self, count: int, *, start: int) -> Float[Tensor, "n d"]:
        codes = self.generator.sample(count, seed=self.seed, start=start, space=self.space)
        return codes.flatten(1)


class _Descent:
    """Adam with one second moment per tensor instead of one per coordinate.

    Adam's own scaling of each coordinate leaves the span of the gradients, and so gives a walk
    components along which the image does not change, which nothing ever takes away again.
    """

    MEAN, SQUARE = 0.9, 0.99

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        self._means = [torch.zeros_like(p) for p in parameters]
        self._squares = [p.new_zeros(()) for p in parameters]
        self._count = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        self._count += 1
        corrections = (1 - self.MEAN**self._count, 1 - self.SQUARE**self._count)
        moments = zip(self._parameters, gradients, self._means, self._squares, strict=True)
        for parameter, gradient, mean, square in moments:
            mean.lerp_(gradient, 1 - self.MEAN)
            square.lerp_(gradient.square().sum(), 1 - self.SQUARE)
            length = (square / corrections[1]).sqrt().clamp_min(1e-12)
            parameter -= rate * mean / corrections[0] / length
