"""Options objects as flags: a command takes one parameter, and the command line its fields."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, cast, get_type_hints

__all__ = ["Flags", "flags_of", "with_flags"]


@dataclass(frozen=True)
class Flags:
    """Flags whose values a command takes as one mapping: `Annotated[Mapping[…], Flags(…)]`.

    Attributes:
        of: The flags.
    """

    of: tuple[inspect.Parameter, ...]


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with a flag for each field of its parameters that are options objects.

    Args:
        command: Its parameters are flags, frozen dataclasses whose fields are flags, or mappings
            of `Flags`.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    groups = {p.name: group for p in own if (group := _group(p.annotation)) is not None}
    listed = [flag for p in own for flag in (groups[p.name][0] if p.name in groups else [p])]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        made = {
            name: build(**{flag.name: given.pop(flag.name) for flag in flags})
            for name, (flags, build) in groups.items()
        }
        command(**given, **made)

    flags = [flag.replace(kind=inspect.Parameter.KEYWORD_ONLY) for flag in listed]
    run.__dict__["__signature__"] = inspect.Signature(flags)
    run.__annotations__ = {flag.name: flag.annotation for flag in flags}
    return run


def _group(annotation: Any) -> tuple[Sequence[inspect.Parameter], Callable[..., Any]] | None:
    """The flags of an options object, and what makes it of them; None for a flag."""
    for mark in getattr(annotation, "__metadata__", ()):
        if isinstance(mark, Flags):
            return mark.of, dict
    if not is_dataclass(annotation):
        return None
    return flags_of(annotation), cast("Callable[..., Any]", annotation)


def flags_of(options: Any) -> list[inspect.Parameter]:
    """A flag for each field of an options object."""
    hints = get_type_hints(options, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(options)
    ]
