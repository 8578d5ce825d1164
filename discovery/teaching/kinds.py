"""Kinds of answers: a sheet of images, a strip of moved ones, a check of what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from directions.errors import SamplesError

__all__ = ["LEVELS", "Answer", "Check", "Sheet", "Strip", "level_of", "mask_of"]

LEVELS = ("much less", "less", "the same", "more", "much more")
"""Answers to a strip, from -2 to 2: how the second row has the attribute, beside the first."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """Images that have the attribute or not.

    Attributes:
        codes: `[n, *shape]`, float32.
        has: `[n]`.
        question: What `Lesson` asked, such as `sheet 3`; empty for labels from elsewhere.
    """

    codes: Float[Tensor, "n ..."]
    has: Bool[Tensor, "n"]
    question: str = ""

    @property
    def clicks(self) -> int:
        """Images clicked: those that have it."""
        return int(self.has.sum())


@dataclass(frozen=True, eq=False)
class Strip:
    """Images moved one way and the other.

    Attributes:
        step: `[*shape]`, from each code of the first row to that of the second.
        level: -2 … 2, what the second row has, in the order of `LEVELS`.
        question: What `Lesson` asked, such as `strip 3`.
    """

    step: Float[Tensor, "..."]
    level: int
    question: str = ""

    clicks = 1


@dataclass(frozen=True)
class Check:
    """Images that should have the attribute, looked at; nothing is learned from them.

    Attributes:
        right: How many have it.
        shown: How many there were.
        question: What `Lesson` asked, such as `check 0`.
    """

    right: int
    shown: int
    question: str = ""

    @property
    def clicks(self) -> int:
        """Images clicked: the wrong ones."""
        return self.shown - self.right


Answer = Sheet | Strip | Check


def level_of(answer: int | str) -> int:
    """A strip's answer as a number from -2 to 2.

    Raises:
        SamplesError: It is none of the five.

    Example:
        >>> level_of("much more"), level_of(-1)
        (2, -1)
    """
    if isinstance(answer, str) and (word := " ".join(answer.lower().split())) in LEVELS:
        return LEVELS.index(word) - 2
    try:
        if (number := int(answer)) == float(answer) and -2 <= number <= 2:
            return number
    except (TypeError, ValueError):
        pass
    raise SamplesError(
        f"a strip is answered by one of {', '.join(LEVELS)} (-2 … 2), not {answer!r:.40}"
    )


def mask_of(clicked: Sequence[int] | Tensor, count: int, kind: str) -> Bool[Tensor, "n"]:
    """Clicked images as a mask.

    Args:
        clicked: Their numbers from 0, or a mask.
        count: Number of images.
        kind: Of the question, for errors.

    Raises:
        SamplesError: A number beyond them.

    Example:
        >>> mask_of([2], 3, "sheet")
        tensor([False, False,  True])
    """
    numbers = torch.as_tensor(clicked)
    if numbers.dtype == torch.bool and numbers.shape == (count,):
        return numbers.clone().cpu()
    if wrong := [n for n in numbers.flatten().tolist() if n not in range(count)]:
        raise SamplesError(
            f"image {wrong[0]} was clicked, and the {kind} has images 0 … {count - 1}"
        )
    has = torch.zeros(count, dtype=torch.bool)
    has[numbers.long().flatten()] = True
    return has
