"""A family of checkpoints, and the options of all of them.

A family's own file has its keys, its settings and its builder, and ends in a `Family` that the
table in `load` lists. Adding one is that file, a line of the table, and its test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from directions.arguments import checked_fields
from directions.errors import CheckpointError, UnknownNameError
from directions.generators.base import Generator
from directions.weight_files.contents import Contents

__all__ = ["Family", "OptionValue", "Options", "parse_options"]

OptionValue = int | float | str | None


def _option(parse: Callable[[str], Any]) -> Any:
    """A field that is not set unless given, and how it is read from text."""
    return field(default=None, metadata={"parse": parse})


def _flag(word: str) -> bool:
    return {"true": True, "false": False}[word.lower()]


def _noise(word: str) -> str | int:
    return word if word in ("const", "none") else int(word)


@checked_fields
@dataclass(frozen=True)
class Options:
    """Settings that a checkpoint does not contain or that override it; None keeps the file's.

    Attributes:
        label: For conditional generators, the class all images belong to.
        noise: For StyleGAN and StyleGAN2: `const` (the stored noise), `none`, or a seed for fresh
            noise.
        truncation: For BigGAN, the truncation of its batch statistics, in (0, 1].
        conv_clamp: For StyleGAN2 and 3, the bound on activations; `inf` for none.
        lr_multiplier: For the StyleGANs, the mapping's learning-rate multiplier.
        fused_scale: For genforce's StyleGAN and PGGAN, whether upsampling is fused.
        final_tanh: For genforce's StyleGAN and PGGAN, whether images go through tanh.
        c_dim: For PGGAN, the number of classes.

    Raises:
        CheckpointError: A bound or multiplier that is not positive.
    """

    label: int | None = _option(int)
    noise: str | int | None = _option(_noise)
    truncation: float | None = _option(float)
    conv_clamp: float | None = _option(float)
    lr_multiplier: float | None = _option(float)
    fused_scale: bool | None = _option(_flag)
    final_tanh: bool | None = _option(_flag)
    c_dim: int | None = _option(int)

    def __post_init__(self) -> None:
        for name in ("conv_clamp", "lr_multiplier"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and (name == "conv_clamp" or value < math.inf)):
                raise CheckpointError(f"{name} is {value}, not a positive number")

    @classmethod
    def of(cls, values: Mapping[str, OptionValue]) -> Options:
        """Options by name, their values as such or as text.

        Raises:
            LatdirError: An option that does not exist, or a value that it cannot have.
        """
        parsers = {option.name: option.metadata["parse"] for option in fields(cls)}
        made: dict[str, Any] = {}
        for name, value in values.items():
            if name not in parsers:
                raise UnknownNameError(
                    f"no option {name!r} of a checkpoint: there are {', '.join(parsers)}"
                )
            try:
                made[name] = None if value is None else parsers[name](str(value))
            except (ValueError, KeyError) as error:
                raise CheckpointError(f"the option {name} cannot be {value!r}") from error
        return cls(**made)

    def given(self) -> dict[str, Any]:
        """The fields that are set."""
        values = {option.name: getattr(self, option.name) for option in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def parse_options(text: str) -> tuple[Path, Options]:
    """A path and the options appended to it.

    Args:
        text: `path` or `path?key=value&key=value`, the keys being fields of `Options`.

    Raises:
        LatdirError: An option that does not exist, or a value that it cannot have.

    Example:
        >>> path, options = parse_options("network.pkl?label=3&noise=none")
        >>> path.name, options.given()
        ('network.pkl', {'label': 3, 'noise': 'none'})
    """
    before, mark, after = text.partition("?")
    if not mark or Path(text).exists():
        return Path(text), Options()
    pairs = (item.partition("=") for item in after.split("&"))
    return Path(before), Options.of({key: word for key, _, word in pairs})


@dataclass(frozen=True)
class Family:
    """A kind of generator that checkpoints hold.

    Attributes:
        title: Its name in messages.
        keys: Names of tensors, one of which is in every such state dict and in no other's.
        options: The fields of `Options` that it takes; `build` has an argument for each.
        settings: Settings of a file besides its tensors, as further arguments of `build`; checks
            every value, since the file may hold anything.
        build: `build(state, *, name, **settings)`, the generator in float32 on the CPU. It
            checks the tensors' names and shapes; any other exception is a defect and
            reaches the user unchanged.
    """

    title: str
    keys: tuple[str, ...]
    options: tuple[str, ...]
    settings: Callable[[Contents], dict[str, Any]]
    build: Callable[..., Generator]
