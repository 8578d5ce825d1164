"""Readers of torch's two file formats without torch: zip archives and legacy pickle sequences.

Stricter than `torch.load(weights_only=True)`: the pickles go through
`directions.weight_files.pickle_machine`, tensors must be within their storages, archives must
not be compressed, and training files that also hold an `argparse.Namespace` can be read.

Source: https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

from directions.errors import CheckpointError
from directions.weight_files.pickle_machine import Budget, Global, unpickle
from directions.weight_files.pickle_objects import Scripted, Storage, constructors

__all__ = ["LEGACY_MAGIC", "TABLE", "read_legacy", "read_zip"]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


def read_zip(data: memoryview, budget: Budget, *, scripted: bool = False) -> Any:
    """The object in a torch zip archive.

    Args:
        data: The whole file.
        budget: Memory its values may take.
        scripted: Whether a TorchScript archive is read too, as a record of its attributes.

    Raises:
        LatdirError: Another sort of archive, a compressed or damaged one, or a refused pickle.
    """
    members = _members(data)
    names = [n for n in members if n == "data.pkl" or n.endswith("/data.pkl")]
    if len(names) != 1:
        raise CheckpointError("it is a zip archive, but not one that torch.save made")
    root = names[0].removesuffix("data.pkl")
    program = f"{root}constants.pkl" in members
    if program and not scripted:
        raise CheckpointError(
            "it is a TorchScript archive, which is a program: save the module's state_dict()"
        )
    if bytes(members.get(f"{root}byteorder", memoryview(b"little"))) != b"little":
        raise CheckpointError("it was written on a big-endian machine")
    storages: dict[str, Storage] = {}

    def persistent(identifier: Any) -> Storage:
        key, made = _declared(identifier, storages)
        if made.data is None:
            if f"{root}data/{key}" not in members:
                raise CheckpointError(f"the archive has no {root}data/{key}")
            _attach(made, members[f"{root}data/{key}"])
        return made

    known = Scripted(TABLE) if program else TABLE
    value, _ = unpickle(members[names[0]], 0, known, budget, persistent=persistent)
    return value


def read_legacy(data: memoryview, budget: Budget) -> Any:
    """The object in a file of torch before 1.6, or of `_use_new_zipfile_serialization=False`.

    Args:
        data: The whole file.
        budget: Memory its values may take.

    Raises:
        LatdirError: A damaged file or a refused pickle.
    """
    storages: dict[str, Storage] = {}

    def persistent(identifier: Any) -> Storage:
        return _declared(identifier, storages)[1]

    at, head = 0, []
    for _ in range(3):
        value, at = unpickle(data, at, {}, budget)
        head.append(value)
    magic, protocol, system = head
    if magic != LEGACY_MAGIC or protocol != LEGACY_PROTOCOL or type(system) is not dict:
        raise CheckpointError("it does not begin as torch files do")
    if system.get("little_endian") is not True:
        raise CheckpointError("it was written on a big-endian machine")
    value, at = unpickle(data, at, TABLE, budget, persistent=persistent)
    keys, at = unpickle(data, at, {}, budget)
    known = type(keys) is list and all(type(key) is str for key in keys)
    if not known or sorted(keys) != sorted(storages):
        raise CheckpointError("its list of storages does not match its tensors")
    for key in keys:
        storage = storages[key]
        size = storage.count * storage.dtype.itemsize
        if at + 8 + size > len(data) or struct.unpack_from("<q", data, at)[0] != storage.count:
            raise CheckpointError("it is cut off or damaged: download or copy it again")
        storage.data = data[at + 8 : at + 8 + size]
        at += 8 + size
    return value


def _read_nested(data: memoryview, budget: Budget) -> Storage:
    """The one storage in the bytes that an NVIDIA pickle keeps for a tensor.

    Raises:
        LatdirError: It holds something else.
    """
    if budget.nesting:
        raise CheckpointError("it has storages within storages")
    budget.nesting = True
    try:
        value = (read_zip if bytes(data[:2]) == b"PK" else read_legacy)(data, budget)
    finally:
        budget.nesting = False
    if type(value) is not Storage:
        raise CheckpointError(
            f"it has a {type(value).__name__} where a tensor's numbers are needed"
        )
    return value


TABLE = constructors(_read_nested)


def _declared(identifier: Any, storages: dict[str, Storage]) -> tuple[str, Storage]:
    """The storage that a persistent identifier names."""
    if type(identifier) is not tuple or len(identifier) < 5 or identifier[0] != "storage":
        raise CheckpointError("its pickle refers to something other than a tensor's numbers")
    _, kind, key, _, count = identifier[:5]
    if len(identifier) > 5 and identifier[5] is not None:
        raise CheckpointError("it has views of storages, as files of torch before 0.4 do")
    dtype = kind.value if type(kind) is Global else None
    if dtype is None or type(key) is not str or type(count) is not int or count < 0:
        raise CheckpointError("a tensor's storage in it is damaged")
    made = storages.setdefault(key, Storage(dtype, count))
    if (made.dtype, made.count) != (dtype, count):
        raise CheckpointError(f"its storage {key[:40]!r} is declared in two ways")
    return key, made


def _attach(storage: Storage, data: memoryview) -> None:
    size = storage.count * storage.dtype.itemsize
    if len(data) != size:
        raise CheckpointError(f"a storage of {storage.count} numbers has {len(data)} bytes")
    storage.data = data


def _members(data: memoryview) -> dict[str, memoryview]:
    """The files of an uncompressed archive, as views, their checksums verified."""
    try:
        with zipfile.ZipFile(_Window(data)) as archive:
            # The code of a TorchScript archive is compressed, and never read.
            entries = [e for e in archive.infolist() if "/code/" not in e.filename]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as error:
        raise CheckpointError(
            f"it is a zip archive that is cut off or damaged ({error}): download it again"
        ) from error
    if sum(entry.file_size for entry in entries) > len(data):
        raise CheckpointError("it is a zip archive that unpacks to more than its own size")
    members: dict[str, memoryview] = {}
    for entry in entries:
        at = entry.header_offset
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise CheckpointError(
                f"{entry.filename[:80]!r} in it is compressed: torch.save never does"
            )
        if bytes(data[at : at + 4]) != b"PK\x03\x04" or at + 30 > len(data):
            raise CheckpointError("it is a zip archive that is damaged: download it again")
        name, extra = struct.unpack_from("<HH", data, at + 26)
        start = at + 30 + name + extra
        content = data[start : start + entry.file_size]
        if len(content) != entry.file_size or zlib.crc32(content) != entry.CRC:
            raise CheckpointError(f"{entry.filename[:80]!r} in it is damaged: download it again")
        if entry.filename in members:
            raise CheckpointError(f"it has {entry.filename[:80]!r} twice")
        members[entry.filename] = content
    return members


class _Window(io.RawIOBase):
    """A memory view as a file, without a copy."""

    def __init__(self, data: memoryview) -> None:
        super().__init__()
        self._data, self._at = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._at, len(self._data))[whence]
        self._at = base + offset
        if self._at < 0:
            raise OSError("a position before the beginning")
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        stop = len(self._data) if size is None or size < 0 else self._at + size
        part = bytes(self._data[self._at : stop])
        self._at += len(part)
        return part
