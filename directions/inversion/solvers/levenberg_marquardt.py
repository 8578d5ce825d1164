"""Levenberg–Marquardt with exact products of the Jacobian, each image with its own damping.

Kenneth Levenberg 1944, Donald Marquardt 1963; damping by the gain ratio after Nielsen 1999
(IMM-REP-1999-05). Each step solves (JᵀJ + λI) t = −Jᵀr by conjugate gradients on products with J
and Jᵀ, which cost about one forward pass each, instead of forming J, which costs one a coordinate.
Far from the solution a rough one is enough (inexact Newton: Dembo, Eisenstat & Steihaug 1982),
preconditioned by JᵀJ averaged over the prior. Where a code has few coordinates, J is made once
near the solution, and its JᵀJ preconditions all further steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from directions.errors import real_number, whole_number
from directions.inversion.base import Inverter, Solved
from directions.inversion.objective import Objective
from directions.numerics.linearized_batch import LinearizedBatch

__all__ = ["LevenbergMarquardt"]

TINY = 1e-30
# A good step divides the damping by up to 9, near the solution by up to 100; poor ones multiply
# it by 2, 4, 8, …
SHRINK, SHRINK_NEAR = 1 / 9, 1e-2
# An image has stopped whose cost fell by less than this fraction in so many steps.
GAIN, WINDOW = 0.02, 8
# Tangents at a time when J is made.
CHUNK = 32


@dataclass(frozen=True)
class LevenbergMarquardt(Inverter):
    """Nonlinear least squares by damped Gauss–Newton steps.

    Attributes:
        steps: Steps at most.
        target: PSNR in decibels at which an image is done.
        products: Conjugate-gradient iterations a step, at most; by default an eighth of the
            coordinates, within 12 and 24.
        tolerance: Relative residual of the linear system, until J is made.
        explicit: Coordinates of a code up to which J is made.
        near: PSNR in decibels from which J is made.
        damping: First λ, relative to the curvature along the gradient.
    """

    preconditioned: ClassVar[bool] = True

    steps: int = 60
    target: float = 100.0
    products: int | None = None
    tolerance: float = 0.1
    explicit: int = 256
    near: float = 46.0
    damping: float = 1e-2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.products is not None:
            whole_number(self.products, "products", least=1)
        whole_number(self.explicit, "explicit", least=0)
        for name in ("tolerance", "damping"):
            real_number(getattr(self, name), name, least=0.0)

    def solve(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """As `Inverter.solve`; nothing is drawn at random."""
        products = self.products or min(24, max(12, codes[0].numel() // 8))
        goal, near = self.goal, 4 / 10 ** (self.near / 10)
        found = Solved.start(codes)
        state = _State.at(objective, codes, self.damping)
        for _ in range(self.steps):
            found.keep(state.rows, state.codes, state.costs)
            stopped = state.stopped()
            found.stationary[state.rows[stopped]] = True
            going = ~(stopped | (state.costs <= goal))
            if not going.any():
                break
            state = state.of(going)
            if codes[0].numel() <= self.explicit:
                state.sharpen(state.costs <= near)
            tolerance = torch.where(state.exact, self.tolerance / 10, self.tolerance)
            state = state.step(products, tolerance)
            found.steps[state.rows] += 1
        found.keep(state.rows, state.codes, state.costs)
        return found


@dataclass(eq=False)
class _State:
    """Images that are still improving: where each is, and the model there.

    Attributes:
        rows: `[n]`, their places in the whole batch.
        damping: `[n]`, λ.
        growth: `[n]`, what the next poor step multiplies λ by.
        values, axes: `[n, d]` and `[n, d, d]`, eigenpairs of the JᵀJ that preconditions; or None.
        exact: `[n]`, whether that is the image's own.
        history: `[n, WINDOW]`, costs of the last steps.
    """

    objective: Objective
    rows: Int[Tensor, "n"]
    codes: Tensor
    model: LinearizedBatch
    costs: Float[Tensor, "n"]
    gradient: Float[Tensor, "n d"]
    damping: Float[Tensor, "n"]
    growth: Float[Tensor, "n"]
    exact: Bool[Tensor, "n"]
    history: Float[Tensor, "n w"]
    values: Tensor | None = None
    axes: Tensor | None = None

    @classmethod
    def at(cls, objective: Objective, codes: Tensor, damping: float) -> _State:
        """The first state."""
        n, model = len(codes), objective.linearize(codes)
        costs = _finite(model.value.square().sum(1))
        gradient = model.pull(model.value).flatten(1)
        curvature = _push(model, gradient).square().sum(1) / (gradient.square().sum(1) + TINY)
        made = cls(
            objective,
            rows=torch.arange(n, device=codes.device),
            codes=codes,
            model=model,
            costs=costs,
            gradient=gradient,
            damping=damping * curvature + TINY,
            growth=torch.full_like(costs, 2.0),
            exact=torch.zeros(n, dtype=torch.bool, device=codes.device),
            history=torch.full((n, WINDOW), torch.inf, device=codes.device),
        )
        if objective.metric is not None:
            values, axes = torch.linalg.eigh(objective.metric.to(codes))
            made.values = values.clamp_min(0).expand(n, -1).clone()
            made.axes = axes.expand(n, -1, -1).clone()
        return made

    def stopped(self) -> Bool[Tensor, "n"]:
        """Images that no longer improve, or have no finite cost or gradient."""
        slow = self.costs > (1 - GAIN) * self.history[:, 0]
        dead = ~(self.costs.isfinite() & self.gradient.isfinite().all(1))
        return slow | dead | (self.gradient.square().sum(1) <= TINY)

    def of(self, chosen: Bool[Tensor, "n"]) -> _State:
        """The state of some of the images."""
        if chosen.all():
            return self
        index = chosen.nonzero()[:, 0]
        objective, codes = self.objective.of(index), self.codes[index]
        return _State(
            objective=objective,
            rows=self.rows[index],
            codes=codes,
            model=objective.linearize(codes),
            costs=self.costs[index],
            gradient=self.gradient[index],
            damping=self.damping[index],
            growth=self.growth[index],
            exact=self.exact[index],
            history=self.history[index],
            values=None if self.values is None else self.values[index],
            axes=None if self.axes is None else self.axes[index],
        )

    def sharpen(self, near: Bool[Tensor, "n"]) -> None:
        """Make J of images that are near their solution, to precondition with their own JᵀJ."""
        d = self.gradient.shape[1]
        if self.values is None or self.axes is None:
            self.values = self.gradient.new_zeros(len(near), d)
            self.axes = torch.eye(d).to(self.gradient).expand(len(near), d, d).clone()
        basis = torch.eye(d).to(self.gradient).reshape(d, 1, *self.codes.shape[1:])
        for i in (near & ~self.exact).nonzero()[:, 0]:
            row = i[None]
            push = self.objective.of(row).linearize(self.codes[row]).push
            columns = torch.cat([push(part) for part in torch.split(basis, CHUNK)])[:, 0]
            values, axes = torch.linalg.eigh(columns @ columns.T)
            if values.isfinite().all():
                self.values[i], self.axes[i] = values.clamp_min(0), axes
                self.exact[i] = True

    def step(self, products: int, tolerance: Float[Tensor, "n"]) -> _State:
        """One step of each image; of a poor one only the damping is changed."""
        shift = _solve(
            lambda v: self._pull(_push(self.model, v)) + self.damping[:, None] * v,
            -self.gradient,
            self._precondition,
            products,
            tolerance,
        ).reshape(self.codes.shape)
        trial = self.objective.constrained(self.codes + shift)
        model = self.objective.linearize(trial)
        costs = _finite(model.value.square().sum(1))
        # What the first-order model promised for the move that was made.
        expected = (self.model.value + self.model.push(trial - self.codes)).square().sum(1)
        gain = (self.costs - costs) / (self.costs - expected).clamp_min(TINY)
        good = costs < self.costs
        least = torch.where(self.exact, SHRINK_NEAR, SHRINK)
        damping = torch.where(
            good,
            self.damping * torch.maximum(1 - (2 * gain - 1) ** 3, least),
            self.damping * self.growth,
        )
        codes = torch.where(good.reshape(-1, *[1] * (trial.ndim - 1)), trial, self.codes)
        if not good.all():
            model = self.objective.linearize(codes)
        return _State(
            objective=self.objective,
            rows=self.rows,
            codes=codes,
            model=model,
            costs=torch.where(good, costs, self.costs),
            gradient=model.pull(model.value).flatten(1),
            damping=damping.clamp(TINY, 1 / TINY),
            growth=torch.where(good, 2.0, 2 * self.growth).clamp_max(1e6),
            exact=self.exact,
            history=torch.cat([self.history[:, 1:], self.costs[:, None]], 1),
            values=self.values,
            axes=self.axes,
        )

    def _pull(self, vectors: Tensor) -> Float[Tensor, "n d"]:
        return self.model.pull(vectors).flatten(1)

    def _precondition(self, vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        if self.values is None or self.axes is None:
            return vectors
        turned = torch.bmm(vectors[:, None], self.axes)[:, 0]
        turned = turned / (self.values + self.damping[:, None])
        return torch.bmm(self.axes, turned[:, :, None])[:, :, 0]


def _push(model: LinearizedBatch, vectors: Float[Tensor, "n d"]) -> Tensor:
    return model.push(vectors.reshape(-1, *model.shape))


def _finite(costs: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    return torch.where(costs.isfinite(), costs, torch.inf)


def _solve(
    product: Callable[[Tensor], Tensor],
    right: Float[Tensor, "n d"],
    precondition: Callable[[Tensor], Tensor],
    iterations: int,
    tolerance: Float[Tensor, "n"],
) -> Float[Tensor, "n d"]:
    """Preconditioned conjugate gradients, each row by itself, until its tolerance is met."""
    x, r = torch.zeros_like(right), right
    z = p = precondition(r)
    first = size = (r * z).sum(1)
    for _ in range(iterations):
        going = size > tolerance**2 * first
        if not going.any():
            break
        ap = product(p)
        length = torch.where(going, size / (p * ap).sum(1).clamp_min(TINY), 0.0)[:, None]
        x, r = x + length * p, r - length * ap
        z = precondition(r)
        new = (r * z).sum(1)
        p = torch.where(going[:, None], z + (new / size.clamp_min(TINY))[:, None] * p, p)
        size = torch.where(going, new, size)
    return x
