"""Content of a path's file, and the fields of a class that it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, cast, get_type_hints

from jaxtyping import AbstractArray
from pydantic import ConfigDict, ValidationError, create_model
from torch import Tensor

from directions.errors import BankError

__all__ = ["StoredPath"]


@dataclass(frozen=True, eq=False)
class StoredPath:
    """Content of a path's file.

    Attributes:
        generator: Name of the generator it belongs to.
        fingerprint: Its sha256.
        config: JSON values.
        tensors: float32, by name.
        source: What messages call it.
    """

    generator: str
    fingerprint: str
    config: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    source: str = "the stored path"

    @classmethod
    def of(cls, path: Any) -> StoredPath:
        """The fields of a path: tensors by their names, also those of a group, and settings.

        Args:
            path: A dataclass with the fields `generator` and `fingerprint`.
        """
        config = {f.name: getattr(path, f.name) for f in fields(path)}
        owner = config.pop("generator"), config.pop("fingerprint")
        tensors: dict[str, Tensor] = {}
        for name, parts in _tensors(type(path)).items():
            value = config.pop(name)
            tensors |= {n: value if n == name else getattr(value, n) for n in parts}
        return cls(*owner, config, tensors)

    def values(self, cls: type) -> dict[str, Any]:
        """The fields that `of` has stored, in the types of their class.

        Raises:
            BankError: As `typed_config` and `shaped_tensors`.
        """
        hints, groups = get_type_hints(cls), _tensors(cls)
        words = (f.name for f in fields(cast(Any, cls)) if f.name not in {**groups, **self.owner})
        tensors = self.shaped_tensors({n: a for parts in groups.values() for n, a in parts.items()})
        values: dict[str, Any] = self.owner | self.typed_config({n: hints[n] for n in words})
        for name, parts in groups.items():
            found = {n: tensors[n] for n in parts}
            values[name] = found[name] if name in found else hints[name](**found)
        return values

    @property
    def owner(self) -> dict[str, Any]:
        """The fields that name the generator."""
        return {"generator": self.generator, "fingerprint": self.fingerprint}

    def typed_config(self, types: Mapping[str, Any]) -> dict[str, Any]:
        """The settings in the types of a class.

        Args:
            types: By name: all that there must be, and all that there may be.

        Raises:
            BankError: One is missing, unknown or of another type.

        Example:
            >>> stored = StoredPath("toy", "0" * 64, {"scale": 2, "names": ["a", "b"]})
            >>> stored.typed_config({"scale": float, "names": tuple[str, ...]})
            {'scale': 2.0, 'names': ('a', 'b')}
        """
        wanted: dict[str, Any] = {name: (kind, ...) for name, kind in types.items()}
        model = create_model("Settings", __config__=ConfigDict(extra="forbid"), **wanted)
        try:
            return dict(model.model_validate_json(json.dumps(dict(self.config)), strict=True))
        except ValidationError as error:
            first = error.errors()[0]
            raise self.broken(
                f"setting {'.'.join(map(str, first['loc']))}", first["msg"]
            ) from error

    def shaped_tensors(self, axes: Mapping[str, int]) -> dict[str, Tensor]:
        """The tensors that a class needs.

        Args:
            axes: How many each has, by name: all that there must be, and all that there may be.

        Raises:
            BankError: One is missing, unknown or of another number of axes.
        """
        for name, tensor in self.tensors.items():
            if name not in axes:
                raise self.broken(f"tensor {name}", f"there is only {', '.join(axes)}")
            if tensor.ndim != axes[name]:
                wrong = f"it has shape {list(tensor.shape)} and needs {axes[name]} axes"
                raise self.broken(f"tensor {name}", wrong)
        for name in axes:
            if name not in self.tensors:
                raise self.broken(f"tensor {name}", "it is missing")
        return {name: self.tensors[name] for name in axes}

    def broken(self, part: str, what: str) -> BankError:
        """The error of a part that does not fit."""
        return BankError(f"{self.source} is broken: {part}: {what}; take a fresh copy")


def _tensors(cls: type) -> dict[str, dict[str, int]]:
    """Names and axes of the tensors in each field: one, or a group such as `Couplings`."""
    found = {}
    for name, hint in get_type_hints(cls).items():
        if (axes := _axes(hint)) is not None:
            found[name] = {name: axes}
        elif is_dataclass(hint) or hasattr(hint, "_fields"):
            parts = {n: _axes(h) for n, h in get_type_hints(hint).items()}
            if parts and None not in parts.values():
                found[name] = cast(dict[str, int], parts)
    return found


def _axes(hint: Any) -> int | None:
    """Number of axes of an annotated tensor; None of anything else."""
    tensor = isinstance(hint, type) and issubclass(hint, AbstractArray)
    return len(hint.dim_str.split()) if tensor else None
