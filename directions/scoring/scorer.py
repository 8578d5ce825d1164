"""Codes to scores, in batches and checked: what the measures that edit codes themselves share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.errors import LatdirError, SamplesError
from directions.fingerprints import Precision
from directions.generators.base import Generator

__all__ = ["Scorer", "check_held_out", "scorer"]

Scorer = Callable[[Tensor], Tensor]


def scorer(
    generator: Generator,
    classifier: Classifier,
    *,
    space: str,
    names: Sequence[str] | None = None,
    precision: Precision = "float32",
    batch: int = 128,
) -> Scorer:
    """A function of codes `[n, ...]` to the scores `[n, a]` of their images, on the CPU.

    Args:
        generator: Makes the images.
        classifier: Scores them.
        space: Space of the codes.
        names: Attributes wanted, in this order; by default all.
        precision: Arithmetic of generator and classifier.
        batch: Images at a time.

    Raises:
        LatdirError: An unknown space or attribute; later, scores that are not finite.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> score = scorer(world, world.classifier(), space="z", names=["factor_1"])
        >>> score(world.sample(5, seed=0)).shape
        torch.Size([5, 1])
    """
    generator.space(space)
    wanted = tuple(classifier.names if names is None else names)
    classifier.columns(wanted)
    render = generator.inference(precision=precision, space=space)
    read = classifier.inference(precision=precision, names=wanted)

    def score(codes: Tensor) -> Float[Tensor, "n a"]:
        parts = [read(render(part)).float().cpu() for part in torch.split(codes, batch)]
        found = torch.cat(parts)
        bad = ~torch.isfinite(found)
        if bad.any():
            column = int(bad.any(0).nonzero()[0])
            raise SamplesError(
                f"{int(bad[:, column].sum())} scores of {wanted[column]!r} are NaN or infinite: "
                f"mend the classifier {classifier.name}, or leave that attribute out"
            )
        return found

    return score


def check_held_out(generator: Generator, bank: DirectionBank, *, count: int, seed: int) -> None:
    """Refuse a bank of another generator, codes it was found with, or too few of them.

    Raises:
        LatdirError: One of these.
    """
    bank.check(generator)
    if count < 2:
        raise LatdirError(f"count {count} must be at least 2: 256 codes give useful figures")
    if bank.provenance.get("seed") == seed:
        raise LatdirError(
            f"the bank was found with codes of seed {seed}: measured on the same codes it would "
            "look better than it is; choose another seed"
        )
