"""Changes of a generator's weights, apart from it: what tuning to a photograph writes.

A file of deltas holds the change alone, a few hundred kilobytes where the generator takes many
megabytes, with the fingerprint of the generator it is a change of. Applied to another it is
refused; applied to its own it gives a generator with a fingerprint of its own, which directions
of the base still fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from directions.arguments import checked
from directions.errors import CheckpointError
from directions.generators.base import Generator
from directions.storage.container import FileFormat, read_tensors, write_tensors

__all__ = ["Change", "Deltas", "changed"]

FORMAT = FileFormat("latdir.deltas", "deltas", CheckpointError)
Change = Mapping[str, Tensor]


def changed(weight: Tensor, change: Change) -> Tensor:
    """A weight with its change: of low rank, of each pair of channels, or of every number.

    Args:
        weight: `[o, i, ...]`.
        change: `left` `[o, r]` and `right` `[r, i · …]`, whose product is added; `scale`
            `[o, i, 1, 1]`, by 1 + which it is multiplied; or `added`, of its own shape.

    Example:
        >>> weight = torch.ones(2, 2, 1, 1)
        >>> product = {"left": torch.ones(2, 1), "right": torch.tensor([[0.0, 3.0]])}
        >>> changed(weight, product).flatten().tolist()
        [1.0, 4.0, 1.0, 4.0]
        >>> changed(weight, {"scale": torch.full((2, 2, 1, 1), 0.5)}).flatten().tolist()
        [1.5, 1.5, 1.5, 1.5]
    """
    if "scale" in change:
        return weight * (1 + change["scale"])
    if "added" in change:
        return weight + change["added"]
    return weight + (change["left"] @ change["right"]).reshape(weight.shape)


def _fits(weight: Tensor, change: Change) -> bool:
    shapes = {part: tuple(tensor.shape) for part, tensor in change.items()}
    if set(shapes) == {"left", "right"} and all(map(len, shapes.values())):
        (rank, *_), rows = shapes["right"], shapes["left"][0]
        shape = {"left": (rows, rank), "right": (rank, weight[0].numel())}
        return shapes == shape and rows == len(weight)
    return shapes in (
        {"scale": (*weight.shape[:2], *[1] * (weight.ndim - 2))},
        {"added": tuple(weight.shape)},
    )


@dataclass(frozen=True, eq=False)
class Deltas:
    """The change of a generator's weights.

    Attributes:
        name: Short name, appended to the generator's.
        base: Name of the generator.
        base_fingerprint: Its fingerprint.
        changes: By weight, tensors as in `changed`, in float16.
        record: How they were made, JSON values.

    Example:
        >>> from directions import load_generator
        >>> generator = load_generator("styleface64")
        >>> name, weight = next(iter(generator.tunable.items()))
        >>> scale = torch.full((*weight.shape[:2], 1, 1), 0.01).half()
        >>> mine = Deltas("mine", generator.name, generator.fingerprint, {name: {"scale": scale}})
        >>> generator.with_deltas(mine).name
        'styleface64+mine'
    """

    name: str
    base: str
    base_fingerprint: str
    changes: Mapping[str, Change]
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the tensors."""
        parts = (part for change in self.changes.values() for part in change.values())
        return sum(part.numel() * part.element_size() for part in parts)

    def applied(self, generator: Generator) -> Generator:
        """The generator with its weights changed.

        Raises:
            LatdirError: Another generator than the one they were made for, or weights that it
                does not have in these shapes.
        """
        if generator.fingerprint != self.base_fingerprint:
            copied = self.base_fingerprint in generator.ancestors
            what = "a tuned copy of it" if copied else "another generator"
            raise CheckpointError(
                f"deltas {self.name!r} are a change of {self.base} "
                f"({self.base_fingerprint[:12]}…), and {generator.name} "
                f"({generator.fingerprint[:12]}…) is {what}: load {self.base} and apply them there"
            )
        own = generator.weights
        made = {}
        for key, change in self.changes.items():
            if key not in own:
                raise CheckpointError(f"deltas {self.name!r} change {key!r}, which is not a weight")
            if not _fits(own[key], change):
                raise CheckpointError(
                    f"deltas {self.name!r} do not fit {key!r} of shape {list(own[key].shape)}"
                )
            made[key] = changed(own[key], {k: part.to(own[key]) for k, part in change.items()})
        tuned = generator.with_weights(made, name=f"{generator.name}+{self.name}")
        tuned.ancestors = (generator.fingerprint, *generator.ancestors)
        return tuned

    def save(self, path: str | PathLike[str]) -> None:
        """Write them to a file, atomically.

        Raises:
            LatdirError: A folder that cannot be written, or a full disk.
        """
        tensors = {f"{k}/{part}": t for k, c in self.changes.items() for part, t in c.items()}
        manifest = {
            "name": self.name,
            "base": self.base,
            "base_fingerprint": self.base_fingerprint,
            "record": dict(self.record),
        }
        write_tensors(path, tensors, manifest, format=FORMAT)

    @classmethod
    @checked
    def load(cls, path: str | PathLike[str]) -> Deltas:
        """Read what `save` wrote; nothing in it is run.

        Raises:
            LatdirError: No such file, a truncated one, or one of another kind.
        """
        manifest, tensors = read_tensors(path, FORMAT)
        changes: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if not (tensor.is_floating_point() and torch.isfinite(tensor).all()):
                raise CheckpointError(f"{path} has numbers in {key!r} that are not finite")
            weight, _, part = key.rpartition("/")
            changes.setdefault(weight, {})[part] = tensor
        try:
            name, base, owner = (str(manifest[k]) for k in ("name", "base", "base_fingerprint"))
        except KeyError as error:
            raise CheckpointError(f"{path} has a broken manifest: it has no {error}") from error
        return cls(name, base, owner, changes, manifest.get("record", {}))
