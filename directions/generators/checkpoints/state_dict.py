"""Conversion of a checkpoint's state dict into a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from directions.errors import CheckpointError

__all__ = ["State", "Weights", "floats", "ranked"]

State = dict[str, Tensor]


def floats(state: Mapping[str, Tensor]) -> State:
    """All tensors in float32 on the CPU.

    Raises:
        CheckpointError: One is empty.
    """
    for key, value in state.items():
        if not value.numel():
            raise CheckpointError(f"the checkpoint's {key!r} is empty")
    return {key: value.detach().to("cpu", torch.float32) for key, value in state.items()}


def ranked(key: str, value: Tensor, *axes: int, family: str) -> Tensor:
    """The tensor, if it has one of these numbers of axes.

    Raises:
        CheckpointError: It has another.
    """
    if value.ndim not in axes:
        raise CheckpointError(
            f"the checkpoint has a tensor of a shape that no {family} has: {key!r} of shape "
            f"{list(value.shape)}, where {' or '.join(map(str, axes))} axes are wanted"
        )
    return value


class Weights(dict[str, Tensor]):
    """Tensors by name, each taken once: one that is missing or left over is named.

    Args:
        tensors: The checkpoint's, or those renamed from a layout.
        family: The network family, such as `StyleGAN2`.

    Example:
        >>> import torch
        >>> left = Weights({"bias": torch.ones(2), "extra": torch.ones(1)}, family="toy network")
        >>> left.take("bias", 1)
        tensor([1., 1.])
        >>> left.check_all_taken()
        Traceback (most recent call last):
        ...
        directions.errors.CheckpointError: the checkpoint has 'extra', which no toy network has: is
            it another architecture, or a discriminator?
    """

    def __init__(self, tensors: Mapping[str, Tensor], *, family: str) -> None:
        super().__init__(tensors)
        self.family = family

    def look(self, key: str, *axes: int) -> Tensor:
        """A tensor, which stays.

        Args:
            key: Its name.
            *axes: Numbers of axes that it may have; any where there are none.

        Raises:
            CheckpointError: It is not there, or has another number of axes.
        """
        self.need(key)
        return ranked(key, self[key], *axes, family=self.family) if axes else self[key]

    def take(self, key: str, *axes: int) -> Tensor:
        """Remove and return a tensor.

        Args:
            key: Its name.
            *axes: Numbers of axes that it may have; any where there are none.

        Raises:
            CheckpointError: It is not there, or no longer, or has another number of axes.
        """
        value = self.look(key, *axes)
        del self[key]
        return value

    def number(self, key: str, default: float) -> float:
        """The one number of a tensor, removed; the default where there is none.

        Raises:
            CheckpointError: It holds several.
        """
        value = self.pop(key, torch.tensor(default))
        if value.numel() != 1:
            raise CheckpointError(f"the checkpoint's {key!r} holds {value.numel()} numbers, not 1")
        return float(value)

    def need(self, *keys: str) -> None:
        """Refuse a state dict without these.

        Raises:
            CheckpointError: One is not there, or no longer.
        """
        for key in keys:
            if key not in self:
                raise CheckpointError(f"the checkpoint has no {key!r}, which a {self.family} needs")

    def check_all_taken(
        self, *, known_as: str | None = None, spare: Callable[[str], bool] = lambda _: False
    ) -> None:
        """Refuse tensors that were not taken.

        Args:
            known_as: What does not have it, where that is narrower than the family.
            spare: Whether a name is not needed.

        Raises:
            CheckpointError: Something is left over.
        """
        for key in self:
            if not spare(key):
                raise CheckpointError(
                    f"the checkpoint has {key!r}, which no {known_as or self.family} has: "
                    "is it another architecture, or a discriminator?"
                )
