"""Curved paths: directions whose step depends on the code, and their file format.

A path moves codes as a direction does, `shift(codes, amount)`, but not along one line. Its file
holds the path's own tensors and a manifest of `kind`, the generator's name and fingerprint, and
`config`, the path's own settings. Reading one executes nothing: `kind` is looked up in `KINDS`.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from directions.classifiers.base import Classifier
from directions.devices import Device, Movable
from directions.direction import per_code
from directions.errors import BankError, SpaceError, UnknownNameError
from directions.generators.base import Generator
from directions.paths.contents import StoredPath
from directions.storage.container import FileFormat, plain, read_tensors, write_tensors

__all__ = ["KINDS", "CurvedPath", "load_path"]

FORMAT = FileFormat("latdir.path", "path", BankError)

KINDS = {
    "clip_mapper": "directions.paths.mapper:MapperPath",
    "code_gradient": "directions.paths.code_gradient:CodeGradientPath",
    "coordinate": "directions.paths.flows.coordinate:CoordinatePath",
    "flow": "directions.paths.flows.flow:FlowPath",
    "geodesic": "directions.paths.geodesic:GeodesicPath",
    "instance": "directions.paths.instance:InstancePath",
    "neural_walk": "directions.paths.neural_walk:NeuralWalk",
    "potential": "directions.paths.potential:PotentialPath",
    "unit_step": "directions.paths.unit_step:UnitStepPath",
    "warp": "directions.paths.warp:WarpPath",
}
"""Kind of path to `module:Class`. Methods bring their own paths, and a file must find them
without its reader importing every method first."""


class CurvedPath(Movable, ABC):
    """A path through latent space that may bend and may differ from code to code.

    A subclass is a dataclass, sets `kind`, has a line in `KINDS`, and implements `shift`; where its
    fields are not JSON values, tensors and groups of tensors, `stored` and `restored` too.

    Attributes:
        kind: What `KINDS` calls the class.
        name: The attribute it is meant to change.
        space: Name of the codes' space.
    """

    kind: ClassVar[str]
    name: str
    space: str

    @abstractmethod
    def shift(
        self, codes: Float[Tensor, "n *shape"], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n *shape"]:
        """Move codes along their paths.

        Args:
            codes: `[n, *shape]`.
            amount: A number, backwards if negative, or one for each code `[n]`.
            unit: `sigma`, `latent` (length of the path), or a unit of the path's own.

        Returns:
            New codes, of the same shape, device and dtype.

        Raises:
            LatdirError: Codes that do not fit, or an unknown unit.
        """

    def _steps(
        self, amount: float | Tensor, codes: Tensor, scales: Mapping[str, float], unit: str
    ) -> Float[Tensor, "n"]:
        """An amount for each code, on the scale of its unit.

        Args:
            amount: A number, or one for each code.
            codes: `[n, *shape]`.
            scales: Of each unit.
            unit: One of them.

        Raises:
            LatdirError: No such unit, or amounts of another shape.
        """
        if unit not in scales:
            raise UnknownNameError(
                f"path {self.name!r} has no unit {unit!r}: use {', '.join(scales)}"
            )
        return per_code(amount, codes).flatten().expand(len(codes)) * scales[unit]

    def _flat(self, codes: Float[Tensor, "n *shape"], size: int) -> Float[Tensor, "n d"]:
        """Codes as rows.

        Args:
            codes: `[n, *shape]`.
            size: Numbers d that each must have.

        Raises:
            LatdirError: Codes of another size.
        """
        rows = codes.flatten(1)
        if rows.shape[1] != size:
            raise SpaceError(
                f"path {self.name!r} moves codes of {size} numbers, not {rows.shape[1]}"
            )
        return rows

    def stored(self) -> StoredPath:
        """Everything that `restored` needs to create an equal path.

        By default the fields of the dataclass: tensors and groups of tensors by name, the others
        as settings.
        """
        return StoredPath.of(self)

    @classmethod
    def restored(
        cls,
        stored: StoredPath,
        *,
        generator: Generator | None = None,
        classifier: Classifier | None = None,
    ) -> CurvedPath:
        """The path again, by default of its fields alone, in the types of the dataclass.

        Args:
            stored: The stored path; `generator` has been checked against it.
            generator: Its generator, where the path needs it.
            classifier: Its classifier, where the path needs it.

        Raises:
            LatdirError: Something it needs is missing, or the contents do not fit together.
        """
        return cls(**stored.values(cls))

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the path to one safetensors file, atomically; equal paths give equal bytes.

        Raises:
            LatdirError: The file cannot be written, or a setting is not a JSON value.
        """
        held = self.stored()
        manifest = {
            "kind": self.kind,
            "generator": held.generator,
            "fingerprint": held.fingerprint,
            "config": plain(held.config, "config"),
        }
        tensors = {name: t.float() for name, t in held.tensors.items()}
        write_tensors(path, tensors, manifest, format=FORMAT)
        return Path(path)


def load_path(
    path: str | PathLike[str],
    *,
    generator: Generator | None = None,
    classifier: Classifier | None = None,
    device: Device | None = None,
) -> CurvedPath:
    """Read a path that `CurvedPath.save` wrote.

    Args:
        path: The file.
        generator: When given, a path of another generator is refused. Paths that make images on
            their path need it.
        classifier: Paths that score images along the path need it.
        device: Where the path and the models it follows are put, as by `to`; by default the models
            stay where they are, and the path's own tensors follow the codes.

    Raises:
        LatdirError: No path file, a broken one, of a newer version or of another generator; or
            the path needs a generator or classifier that was not given; or no such device.
    """
    kind, held = _read(path)
    if generator is not None and generator.fingerprint != held.fingerprint:
        raise BankError(
            f"{path} was made for {held.generator} ({held.fingerprint[:12]}…), not for "
            f"{generator.name} ({generator.fingerprint[:12]}…): load that one"
        )
    module, _, name = KINDS[kind].partition(":")
    cls: type[CurvedPath] = getattr(importlib.import_module(module), name)
    made = cls.restored(held, generator=generator, classifier=classifier)
    return made if device is None else made.to(device)


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: str
    generator: str
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    config: dict[str, Any] = {}


def _read(path: str | PathLike[str]) -> tuple[str, StoredPath]:
    manifest, tensors = read_tensors(path, FORMAT)
    try:
        header = _Header.model_validate(manifest)
    except ValidationError as error:
        raise BankError(f"{path} is broken: {error}") from error
    if header.kind not in KINDS:
        raise BankError(
            f"{path} holds a path of kind {header.kind!r}, and there are {', '.join(KINDS)}: "
            "pip install --upgrade latdir"
        )
    wrong = [n for n, t in tensors.items() if t.dtype != torch.float32 or not t.isfinite().all()]
    if wrong:
        raise BankError(f"{path} is broken: {wrong[0]} is not finite float32")
    owner = header.generator, header.fingerprint
    return header.kind, StoredPath(*owner, header.config, tensors, str(path))
