"""A checkpoint's tensors while a network is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from directions.errors import CheckpointError

__all__ = ["Weights"]


class Weights(dict[str, Tensor]):
    """Tensors by name, each taken once: one that is missing or left over is named.

    Args:
        tensors: The checkpoint's, or what a layout's names were turned into.
        family: What is being made, such as `StyleGAN2`.

    Example:
        >>> import torch
        >>> left = Weights({"bias": torch.ones(2), "extra": torch.ones(1)}, family="toy network")
        >>> left.take("bias")
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

    def take(self, key: str) -> Tensor:
        """Remove and return a tensor.

        Raises:
            LatdirError: It is not there, or no longer.
        """
        self.need(key)
        return self.pop(key)

    def need(self, *keys: str) -> None:
        """Refuse to go on without these.

        Raises:
            LatdirError: One is not there, or no longer.
        """
        for key in keys:
            if key not in self:
                raise CheckpointError(f"the checkpoint has no {key!r}, which a {self.family} needs")

    def check_all_taken(
        self, *, known_as: str | None = None, spare: Callable[[str], bool] = lambda _: False
    ) -> None:
        """Refuse what was not taken.

        Args:
            known_as: What does not have it, where that is narrower than the family.
            spare: Tells names that nothing needs.

        Raises:
            LatdirError: Something is left over.
        """
        for key in self:
            if not spare(key):
                raise CheckpointError(
                    f"the checkpoint has {key!r}, which no {known_as or self.family} has: "
                    "is it another architecture, or a discriminator?"
                )
