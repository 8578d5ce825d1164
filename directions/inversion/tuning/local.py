"""Pivotal tuning with locality in closed form: other images are held without being rendered.

How much a small change δ of the weights changes other images is δᵀHδ, H = E[JᵀJ] over codes of the
prior. For each layer H is approximated by a Kronecker product of the second moments of the rows
and of the columns of gradients of random projections of images (Gupta, Koren, Singer 2018,
"Shampoo", arXiv:1802.09568; of the Gauss–Newton matrix, as K-FAC, Martens & Grosse 2015,
arXiv:1503.05671), measured once. The products of low rank are learned in coordinates
in which H is a multiple of the identity: there a step of Adam changes other images alike by every
layer, and δᵀHδ is a sum of squares, which is added to the cost. It is an underestimate: Adam finds
directions that few codes do not show, so that its weight is well above 1, and a goal counts only
once the images of the codes it was measured on are seen to stay; the few that stay least join the
cost until they do.

The styles of a style-based generator move too, at the pivots alone: their affine layers change by
S vᵀ, where v = M⁻¹w / wᵀM⁻¹w is the smallest vector in the norm of M, the second moment of w, that
is 1 at the pivot (as keys in `rewriting`). Other codes see a few hundredths of S
where w has hundreds of coordinates.

The first blocks, most of the weights of most generators, stay: gradients end before them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_fields
from directions.errors import real_number, whole_number
from directions.generators.base import Generator
from directions.generators.deltas import Change
from directions.generators.stylegan.generator import StyleGenerator
from directions.inversion.tuning.base import Changes, Task
from directions.inversion.tuning.descent import Descent

__all__ = ["LocalPivotal"]

# Codes whose images share a projection.
TOGETHER = 4
# Added to the eigenvalues of H's factors and of M, relative to their mean.
RIDGE, STYLE_RIDGE = 1e-2, 1e-3
# Images that join the cost at a time, and the weight of their mean square change beside the form.
WORST, JOINED = 4, 0.25
# Root mean square change of other images by a layer whose coordinates are all 1.
UNIT = 0.027


@checked_fields
@dataclass(frozen=True)
class LocalPivotal(Descent):
    """Weights tuned around codes that stay, other images held by a quadratic form.

    Attributes:
        rank: Of the products.
        steps: Of Adam, at most.
        rate: Its learning rate, which falls to nothing in the last third of the steps.
        locality: Weight of the change of other images that the quadratic form predicts; 0 leaves
            them free.
        others: PSNR in decibels, to what they were, that the images of all probes have to keep for
            a goal to count; None where the goal alone does.
        batch: Images a step, in turn; None for all.
        goal: PSNR in decibels at which all images are done; None for all steps.
        near: Squared distance of features at which they are; not looked at without features.
        falling: Whether the rate falls.
        style_rate: Learning rate of the styles at the pivots; 0 leaves them.
        first_block: The first that is tuned, counted from the code: 2 makes 16 pixels of 4.
        probes: Codes on which the quadratic form is measured.
    """

    rank: int = 32
    steps: int = 150
    rate: float = 1e-2
    locality: float = 12.0
    others: float | None = 39.0
    style_rate: float = 0.1
    first_block: int = 2
    probes: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.others is not None:
            real_number(self.others, "others")
        real_number(self.style_rate, "style_rate", least=0.0)
        whole_number(self.first_block, "first_block", least=0)
        whole_number(self.probes, "probes", least=1)

    @property
    def betas(self) -> tuple[float, float]:
        """Of Adam."""
        return 0.9, 0.9

    def begin(self, task: Task) -> _Whitened:
        """As `Descent.begin`."""
        return _Whitened(task, self)

    def held(self, task: Task, changes: Changes, pivots: Tensor, step: int) -> Tensor:
        """Codes of the probes whose images stay least."""
        assert isinstance(changes, _Whitened)
        return changes.codes[changes.worst]

    def drift(self, task: Task, changes: Changes, made: Tensor, codes: Tensor) -> Tensor:
        """What other images are predicted to cost, and what those that stay least do cost."""
        assert isinstance(changes, _Whitened)
        return changes.drift() + (JOINED * changes.moved(made).mean() if len(made) else 0.0)

    def settled(self, task: Task, changes: Changes) -> bool:
        """Whether the images of all probes keep `others`."""
        assert isinstance(changes, _Whitened)
        if self.others is None or not self.locality:
            return True
        return changes.settled(4 * 10 ** (-self.others / 10))


class _Whitened(Changes):
    """Products of low rank in coordinates in which H is a multiple of the identity."""

    def __init__(self, task: Task, tuner: LocalPivotal) -> None:
        self.generator, self.tuner = task.generator, tuner
        self.own = _tuned(task.generator, tuner.first_block)
        self.space, self.base = task.space, task.base
        self.codes = task.generator.sample(tuner.probes, seed=task.seed, space=task.space)
        self.coordinates = _coordinates(task, self.own, self.codes)
        # Probes whose images stay least, and the largest mean square change of theirs.
        self.worst, self.largest = torch.zeros(0, dtype=torch.long), 0.0
        draw = torch.Generator().manual_seed(task.seed)
        self.left, self.right = {}, {}
        for key, weight in self.own.items():
            rows, columns = weight.shape[0], weight[0].numel()
            rank = min(tuner.rank, rows, columns)
            self.left[key] = weight.new_zeros(rows, rank).requires_grad_()
            right = torch.randn(rank, columns, generator=draw).to(weight)
            self.right[key] = right.requires_grad_()
        self.gates = _gates(task) if tuner.style_rate else {}
        weights = task.generator.weights if self.gates else {}
        self.affine = {key: weights[key] for key in self.gates}
        self.styles = {
            key: gate.new_zeros(len(self.affine[key]), len(gate)).requires_grad_()
            for key, gate in self.gates.items()
        }

    def free(self) -> list[Tensor]:
        """The products and the styles."""
        return [*self.left.values(), *self.right.values(), *self.styles.values()]

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Each with its rate."""
        products = {"params": [*self.left.values(), *self.right.values()], "lr": rate}
        styles = {"params": [*self.styles.values()], "lr": self.tuner.style_rate}
        return [products, styles] if self.styles else [products]

    def tuned(self) -> Generator:
        """The generator with the changes, through which gradients flow."""
        made = {}
        for key, weight in self.own.items():
            left, right = self._product(key)
            made[key] = weight + (left @ right).reshape(weight.shape)
        for key, gate in self.gates.items():
            made[key] = self.affine[key] + self.styles[key] @ gate
        return self.generator.with_weights(made)

    def kept(self) -> dict[str, Change]:
        """A copy in float16, both factors of a size."""
        pairs = {key: self._product(key) for key in self.own}
        pairs |= {key: (self.styles[key], gate) for key, gate in self.gates.items()}
        kept: dict[str, Change] = {}
        for key, (left, right) in pairs.items():
            sizes = left.detach().square().mean().sqrt(), right.detach().square().mean().sqrt()
            even = (sizes[1] / sizes[0]).sqrt() if sizes[0] > 0 else 1.0
            halves = {"left": left * even, "right": right / even}
            kept[key] = {part: tensor.detach().half() for part, tensor in halves.items()}
        return kept

    def drift(self) -> Tensor:
        """δᵀHδ a pixel: in these coordinates the mean square of each layer's product."""
        squares = [
            ((left.T @ left) * (right @ right.T)).sum() / self.own[key].numel()
            for (key, left), right in zip(self.left.items(), self.right.values(), strict=True)
        ]
        return UNIT**2 * torch.stack(squares).sum()

    def settled(self, most: float) -> bool:
        """Whether no probe's image changes by more in the mean square; the worst join the cost."""
        # Those that have joined are seen in each step: while they change by more, so do all.
        if self.largest > most:
            return False
        with torch.no_grad():
            tuned, parts = self.tuned(), torch.split(self.codes, TOGETHER)
            made = torch.cat([tuned.synthesize(part, self.space) for part in parts])
        moved = (made - self.shown).square().flatten(1).mean(1)
        self.worst = moved.argsort(descending=True)[:WORST].cpu()
        return float(moved.max()) <= most

    def moved(self, made: Tensor) -> Tensor:
        """Mean square changes of the images that have joined the cost."""
        changes = (made - self.shown[self.worst]).square().flatten(1).mean(1)
        self.largest = float(changes.detach().max())
        return changes

    @cached_property
    def shown(self) -> Tensor:
        """Images of the probes as they were."""
        return torch.cat([self.base(part).clone() for part in torch.split(self.codes, TOGETHER)])

    def _product(self, key: str) -> tuple[Tensor, Tensor]:
        """The factors in the weight's own coordinates."""
        rows, columns = self.coordinates[key]
        right = self.right[key].reshape(-1, len(columns), self.own[key][0, 0].numel())
        return rows @ self.left[key], torch.einsum("rit,ij->rjt", right, columns).flatten(1)


def _tuned(generator: Generator, first: int) -> dict[str, Tensor]:
    """Weights from a block on, or from the last."""
    blocks = {key: generator.block_of(key) for key in generator.tunable}
    if not blocks:
        # Says which generators have weights to tune.
        generator.with_weights({})
    first = min(first, max(blocks.values()))
    return {key: w for key, w in generator.tunable.items() if blocks[key] >= first}


def _coordinates(
    task: Task, own: dict[str, Tensor], codes: Tensor
) -> dict[str, tuple[Float[Tensor, "o o"], Float[Tensor, "i i"]]]:
    """For each weight H^(-1/2) of its rows, and of its columns times a scale."""
    draw = torch.Generator().manual_seed(task.seed)
    free = {key: weight.detach().clone().requires_grad_() for key, weight in own.items()}
    rows = {key: weight.new_zeros(len(weight), len(weight)) for key, weight in own.items()}
    columns = {
        key: weight.new_zeros(weight.shape[1], weight.shape[1]) for key, weight in own.items()
    }
    probes = len(codes)
    with torch.enable_grad():
        for part in torch.split(codes, TOGETHER):
            images = task.generator.with_weights(free).synthesize(part, task.space)
            # Independent projections: the gradient's second moment is the sum of the images'.
            projection = torch.randn(images.shape, generator=draw).to(images)
            # A network may have weights that these images do not need.
            gradients = torch.autograd.grad(
                images, list(free.values()), projection, materialize_grads=True
            )
            for key, gradient in zip(free, gradients, strict=True):
                by_row, by_column = gradient.flatten(1), gradient.transpose(0, 1).flatten(1)
                rows[key] += by_row @ by_row.T / probes
                columns[key] += by_column @ by_column.T / probes
    pixels = math.prod(task.generator.image_shape)
    made = {}
    for key in own:
        trace = rows[key].trace()
        scale = UNIT * torch.where(trace > 0, pixels / trace, 0.0).sqrt()
        made[key] = _inverse_root(rows[key]), scale * _inverse_root(columns[key])
    return made


def _inverse_root(moment: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """(A / mean + RIDGE)^(-1/2), mean that of A's eigenvalues."""
    values, axes = torch.linalg.eigh(moment.double())
    values = values.clamp_min(0) / values.mean().clamp_min(1e-30)
    root: Tensor = (axes * (values + RIDGE).rsqrt()) @ axes.T
    return root.to(moment)


def _gates(task: Task) -> dict[str, Float[Tensor, "n w"]]:
    """For each affine layer vectors that are 1 at their pivot, 0 at the others, else small."""
    generator, codes = task.generator, task.codes
    if not isinstance(generator, StyleGenerator) or task.space == "s" or codes is None:
        return {}
    names = {weight.data_ptr(): key for key, weight in generator.weights.items()}
    prior = generator.prior("w")
    moment = prior.covariance.double() + prior.mean.double().outer(prior.mean.double())
    moment.diagonal().add_(STYLE_RIDGE * prior.covariance.diagonal().mean())
    pivots = generator.map(codes, task.space, "w+").double()
    gates = {}
    for layer, slot in enumerate(generator.style_slots):
        key = names.get(generator.network.affine(layer).weight.data_ptr())
        if key is not None:
            wanted = torch.linalg.solve(moment.to(pivots), pivots[:, slot].T).T  # M⁻¹w
            gates[key] = (torch.linalg.pinv(pivots[:, slot] @ wanted.T) @ wanted).to(codes)
    return gates
