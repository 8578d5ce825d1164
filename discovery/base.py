"""The contract every discovery method keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

__all__ = ["Method", "Need"]

Need = Literal["samples", "generator", "classifier", "text", "clip"]


@dataclass(frozen=True)
class Method:
    """Base of the methods: a frozen dataclass whose fields are its hyper-parameters.

    A subclass sets `method`, its registered name, and `needs`, the keyword arguments that its one
    public verb `discover` takes besides a seed; `discover` returns a `DirectionBank`. The
    command's flags come from the fields, so each has a default and a line in the docstring.
    """

    method: ClassVar[str]
    needs: ClassVar[tuple[Need, ...]]

    @property
    def config(self) -> dict[str, Any]:
        """The hyper-parameters, as written into every direction the method makes."""
        return asdict(self)
