"""What is on the screen, as a value: source, amounts, locks and layers of one picture."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from directions.errors import LatdirError
from directions.seeds import PICTURE_SEED

__all__ = ["Mix", "State", "packed", "unpacked"]

# Whole numbers that a browser represents exactly.
LARGEST_EXACT = 2**53 - 1

SeedNumber = Annotated[int, Field(ge=0, le=LARGEST_EXACT)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Mix(BaseModel):
    """A second code, and how much of it.

    Attributes:
        seed: Its seed.
        fraction: From 0, none of it, to 1, nothing else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: SeedNumber
    fraction: float = Field(ge=0, le=1)


class State(BaseModel):
    """Everything that one picture follows from, given a bank and a generator.

    Attributes:
        seed: Of the code.
        truncation: ψ of the code.
        mix: A second code to interpolate with.
        photo: A code found for a photograph, `packed`, in place of the seed's.
        amounts: Amounts in sigma that the user set, by slider.
        held: Amounts in sigma that the locks add on sliders the user did not set.
        locks: Attributes that must not change.
        layers: First and last layer that moves, of a style generator; None for all.
        channels: Of each direction, only so many of the style channels it moves most; None for all.

    Example:
        >>> State.read({"amounts": {"smiling": 1.5}}).moved
        {'smiling': 1.5}
        >>> State.read({"truncation": "much"})
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: this is not a state of the explorer: truncation: Input should
        be a valid number, unable to parse string as a number
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: SeedNumber = PICTURE_SEED
    truncation: Annotated[float, Field(ge=0, le=2)] = 1.0
    mix: Mix | None = None
    photo: str | None = None
    amounts: Mapping[str, Number] = {}
    held: Mapping[str, Number] = {}
    locks: tuple[str, ...] = ()
    layers: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] | None = None
    channels: Annotated[int, Field(ge=1)] | None = None

    @classmethod
    def read(cls, values: object) -> State:
        """A state from JSON values.

        Raises:
            LatdirError: They are not a state.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise LatdirError(
                f"this is not a state of the explorer: {first_fault(error)}"
            ) from error

    @property
    def source(self) -> tuple[Any, ...]:
        """What the unedited picture follows from."""
        return self.seed, self.truncation, self.mix, self.photo

    @property
    def moved(self) -> dict[str, float]:
        """Amounts in sigma of all sliders that are not at 0, set and held."""
        both = {**self.held, **self.amounts}
        return {name: amount for name, amount in both.items() if amount}

    def plain(self) -> dict[str, Any]:
        """JSON values."""
        return self.model_dump(mode="json")

    def but(self, **changes: Any) -> State:
        """A copy with some attributes changed."""
        return self.model_copy(update=changes)


def first_fault(error: ValidationError) -> str:
    """The first complaint of a validation, on one line."""
    fault = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def packed(code: Tensor) -> str:
    """A code as text: its float32 numbers in base64."""
    return base64.b64encode(code.detach().float().cpu().numpy().tobytes()).decode()


def unpacked(text: str, shape: tuple[int, ...]) -> Tensor:
    """The code of a text that `packed` made, as a batch of one.

    Raises:
        LatdirError: It is of another shape, or not finite.

    Example:
        >>> unpacked(packed(torch.tensor([1.0, 2.0])), (2,))
        tensor([[1., 2.]])
    """
    try:
        numbers = np.frombuffer(base64.b64decode(text, validate=True), np.float32)
        code = torch.from_numpy(numbers.reshape(1, *shape).copy())
    except ValueError as error:
        raise LatdirError(
            f"the code of this photograph is not of shape {list(shape)}: it belongs to another "
            "generator"
        ) from error
    if not code.isfinite().all():
        raise LatdirError("the code of this photograph is not finite: drop the photograph again")
    return code
