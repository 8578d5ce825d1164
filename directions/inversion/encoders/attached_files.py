"""Files of what is attached to an encoder: network and settings.

Weights are kept in half precision. Neither the encoder nor the generator is in the file: their
names and the fingerprint of one of them are, and another one is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from directions import zoo
from directions.errors import CheckpointError, known_name
from directions.inversion.encoders.attached import Attached
from directions.inversion.encoders.base import Encoder
from directions.inversion.encoders.files import given_or_built_in
from directions.storage.container import FileFormat, read_weights, write_tensors

__all__ = ["AttachedFile", "check_sizes"]


@dataclass(frozen=True)
class AttachedFile:
    """One kind of file.

    Attributes:
        format: Of the container.
        built_in: Names of those that ship, and of their weights.
        owner: Whose fingerprint is compared.
        key: The manifest's, of that fingerprint.
        says: What the file is, before the owner's name.
        remedy: What else to do where the owner is another, with a place for the generator's name.
    """

    format: FileFormat
    built_in: Mapping[str, str]
    owner: Literal["generator", "encoder"]
    key: str
    says: str
    remedy: str

    def write(self, path: str | PathLike[str], attached: Attached, **facts: Any) -> None:
        """Network, settings and owner, with further facts."""
        network, encoder = attached.network, attached.encoder
        # Axes are products of small numbers: they stay as they are.
        tensors = {
            k: t if t.ndim < 2 or k == "axes" else t.half() for k, t in network.state_dict().items()
        }
        owner = encoder if self.owner == "encoder" else encoder.generator
        manifest = {
            "name": attached.name,
            "encoder": encoder.name,
            self.owner: owner.name,
            self.key: owner.fingerprint,
            **facts,
        }
        write_tensors(path, tensors, manifest, format=self.format)

    def read(self, path: str | PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Manifest and weights of a file or of one that ships.

        Raises:
            LatdirError: No such file, a truncated one or one of another kind.
        """
        name, file = str(path), Path(path)
        if name not in self.built_in and not file.suffix and not file.exists():
            known_name(name, self.built_in, f"built-in {self.format.noun}", others="a file's path")
        where = zoo.file(self.built_in[name]) if name in self.built_in else path
        manifest, tensors = read_weights(where, self.format)
        return manifest, {k: t.float() for k, t in tensors.items()}

    @contextmanager
    def sound(self, path: str | PathLike[str]) -> Iterator[None]:
        """Report what is missing or wrong in a manifest that is parsed within."""
        try:
            yield
        except (KeyError, TypeError, ValueError) as error:
            text = f"{path} has a broken manifest: it has no sound {error}"
            raise CheckpointError(text) from error

    def encoder(
        self, path: str | PathLike[str], manifest: Mapping[str, Any], given: Encoder | None
    ) -> Encoder:
        """The one given, else the built-in one; the owner must be the file's.

        Raises:
            CheckpointError: There is none, or another owner.
        """
        with self.sound(path):
            base, fingerprint = str(manifest[self.owner]), str(manifest[self.key])
        lacks = "is not built in" if self.owner == "encoder" else "has no built-in encoder"
        refusal = f"{path} {self.says} {base}, which {lacks}"
        encoder = given_or_built_in(given, base.removesuffix("/encoder"), refusal)
        found = encoder if self.owner == "encoder" else encoder.generator
        if found.fingerprint != fingerprint:
            raise CheckpointError(
                f"{path} {self.says} {base} ({fingerprint[:12]}…), and {found.name} "
                f"({found.fingerprint[:12]}…) is another: load that one, or "
                + self.remedy.format(encoder.generator.name)
            )
        return encoder


def check_sizes(sizes: list[Any], most: int) -> None:
    """Refuse sizes of a manifest that are not believed.

    Raises:
        ValueError: They are no whole numbers from 1.
    """
    if any(type(n) is not int or not 0 < n <= most for n in sizes):
        raise ValueError("'config'")
