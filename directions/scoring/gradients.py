"""Scores of codes and their gradients with respect to the codes, through the generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Classifier, Combined
from directions.errors import LatdirError
from directions.executors import Executor, Local
from directions.generators.base import Generator
from directions.progress import tqdm

__all__ = ["ScoreGradients", "reader", "score_gradients"]


class ScoreGradients(NamedTuple):
    """Scores of codes and their gradients, on the unbounded scale.

    Attributes:
        codes: `[n, d]`, flattened.
        values: `[n, k]`, logits of probabilities, values unchanged.
        gradients: `[n, k, d]`, of each value with respect to the flattened code.
    """

    codes: Float[Tensor, "n d"]
    values: Float[Tensor, "n k"]
    gradients: Float[Tensor, "n k d"]


def score_gradients(
    generator: Generator,
    classifier: Classifier,
    codes: Float[Tensor, "n *shape"],
    *,
    attributes: Sequence[str],
    space: str,
    batch_size: int = 32,
    executor: Executor | None = None,
) -> ScoreGradients:
    """Logits of the images of codes, and the gradient of each with respect to its code.

    One pass forward a batch, one backward an attribute (faster than `vmap` over attributes, which
    convolutions do not batch well); of `Combined` classifiers only the parts
    that are needed run.

    Args:
        generator: Makes the images, differentiably.
        classifier: Scores them, differentiably.
        codes: `[n, *space.shape]`.
        attributes: Which of the classifier's to differentiate.
        space: Space of the codes.
        batch_size: Codes at a time; bounds the memory.
        executor: Where the batches are computed; by default here.

    Returns:
        On the codes' device, float32 or float64 as the codes are.

    Raises:
        LatdirError: No gradient flows from the scores to the codes, or bad arguments.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> found = score_gradients(world, world.classifier(), world.sample(4, seed=0),
        ...                         attributes=["factor_1"], space="z")
        >>> torch.allclose(found.gradients[:, 0], world.truth[1].expand(4, -1), atol=1e-3)
        True
    """
    generator.check(codes, space)
    if batch_size < 1:
        raise LatdirError(f"batch_size {batch_size} must be at least 1: 32 suits most generators")
    slopes = _Slopes(generator, classifier, tuple(attributes), space)
    reader(classifier, attributes)  # refuses here what it would refuse in every worker
    executor = executor or Local()
    batches = torch.split(codes.detach(), batch_size)
    # Pickled, a part of a tensor takes the whole along: hence the copies.
    tasks = (batch.cpu().clone() if executor.remote else batch for batch in batches)
    found = executor.map(slopes, tasks)
    pairs = [*tqdm(found, total=len(batches), desc="gradients", unit="batch", delay=1)]
    values, gradients = (torch.cat(parts).to(codes.device) for parts in zip(*pairs, strict=True))
    return ScoreGradients(codes.flatten(1), values, gradients)


@dataclass(frozen=True, eq=False)
class _Slopes:
    """Logits of a batch of codes and their gradients: a function for executors."""

    generator: Generator
    classifier: Classifier
    attributes: tuple[str, ...]
    space: str

    @cached_property
    def read(self) -> Callable[[Tensor], Tensor]:
        """From images to logits."""
        return reader(self.classifier, self.attributes)

    def __call__(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        leaf = codes.to(self.generator.device).clone().requires_grad_(True)
        # A caller's no_grad would leave nothing to differentiate.
        with torch.enable_grad():
            scores = self.read(self.generator.synthesize(leaf, self.space))
            rows = _rows(scores, leaf, self.generator, self.classifier)
        return scores.detach().to(codes), rows.to(codes.device)


def _rows(
    scores: Tensor, leaf: Tensor, generator: Generator, classifier: Classifier
) -> Float[Tensor, "n k d"]:
    rows = []
    for j in range(scores.shape[1]):
        found = None
        if scores.requires_grad:
            last = j == scores.shape[1] - 1
            total = scores[:, j].sum()
            [found] = torch.autograd.grad(total, leaf, retain_graph=not last, allow_unused=True)
        if found is None:
            raise LatdirError(
                f"no gradient flows from the scores of {classifier.name} to the codes of "
                f"{generator.name}: one of them is not differentiable; use `boundary`, which needs "
                "scores only"
            )
        rows.append(found.flatten(1))
    return torch.stack(rows, 1)


def reader(classifier: Classifier, attributes: Sequence[str]) -> Callable[[Tensor], Tensor]:
    """Map from images to the logits of some attributes, skipping parts they do not need.

    Args:
        classifier: Scores images, differentiably.
        attributes: Which of the classifier's.

    Raises:
        LatdirError: No attributes, unknown ones, or a classifier that is not differentiable.
    """
    if not attributes:
        raise LatdirError(
            f"no attributes were asked for: {classifier.name} has {', '.join(classifier.names)}"
        )
    classifier.columns(attributes)
    if isinstance(classifier, Combined):
        needed = [p for p in classifier.parts if set(p.names) & set(attributes)]
        classifier = Combined(*needed)
    if not classifier.differentiable:
        raise LatdirError(
            f"classifier {classifier.name} is not differentiable: use `boundary`, which needs "
            "scores only, or leave its attributes out"
        )
    return lambda images: classifier.logits_of(images, attributes)
