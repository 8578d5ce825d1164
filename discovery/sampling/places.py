"""Where the files of samples are: a folder of this machine, or of an object store.

A shard is complete before its name exists, in either. The manifest is replaced on the condition
that it is as this process left it: in a folder of this machine a lock sees to that, on S3 the
server does (`If-Match`, with boto3 installed), and elsewhere it is read again just before.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from directions.errors import LatdirError, SamplesError
from directions.storage.atomic import atomic, made_folder

try:
    import fcntl
except ImportError:  # Windows has none; there, a second writer is not prevented.
    fcntl = None  # type: ignore[assignment]

__all__ = ["Place", "place_of"]

LOCK = ".lock"
REMOTE = re.compile(r"[a-z][a-z0-9+.-]+://")


def place_of(folder: str | Path) -> Place:
    """The place of a path or of an address that `pyarrow.fs` knows.

    Raises:
        LatdirError: An address that it does not know.

    Example:
        >>> place_of("labels"), place_of("file:///tmp/labels")
        (LocalPlace(labels), LocalPlace(/tmp/labels))
    """
    if not REMOTE.match(str(folder)):
        return LocalPlace(Path(folder))
    try:
        files, root = fs.FileSystem.from_uri(str(folder))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise LatdirError(
            f"no folder at {hidden(str(folder))} ({error}): give a path, or an address such as "
            "s3://bucket/labels?region=eu-west-1 or gs://bucket/labels"
        ) from error
    if isinstance(files, fs.LocalFileSystem):
        return LocalPlace(Path(root))
    return ObjectPlace(files, root, str(folder))


def hidden(address: str) -> str:
    """An address without the password in it.

    Example:
        >>> hidden("s3://key:secret@bucket/labels")
        's3://key:…@bucket/labels'
    """
    return re.sub(r"(://[^:/@]+):[^@]+@", r"\1:…@", address)


class Place(ABC):
    """A folder of files that are written whole."""

    local: Path | None = None

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A file's bytes.

        Raises:
            OSError: It cannot be read; `FileNotFoundError` where there is none.
        """

    @abstractmethod
    def opened(self, name: str) -> Any:
        """A file for `pyarrow`, of which parts can be read."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Write a file, which is there whole or not at all.

        Raises:
            LatdirError: It cannot be written.
        """

    @abstractmethod
    def replace(self, name: str, data: bytes) -> None:
        """`write`, if the file is as this process last read or left it.

        Raises:
            LatdirError: Another process has changed it, or it cannot be written.
        """

    @abstractmethod
    def names(self) -> set[str]:
        """Names of the files there."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder, and keep a second writer out where that can be done beforehand.

        Raises:
            LatdirError: It cannot be made, or another run is writing there.
        """
        yield

    def joined(self, name: str) -> str:
        """A file's path or address, for messages."""
        return f"{self}/{name}"


class LocalPlace(Place):
    """A folder of this machine.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.local = self.path = path

    def read(self, name: str) -> bytes:
        """A file's bytes."""
        return (self.path / name).read_bytes()

    def opened(self, name: str) -> Any:
        """A file for `pyarrow`."""
        return pa.memory_map(str(self.path / name))

    def write(self, name: str, data: bytes) -> None:
        """Write a file, flushed to disk and renamed over an older one."""
        with atomic(self.path / name) as temporary:
            temporary.write_bytes(data)

    def replace(self, name: str, data: bytes) -> None:
        """`write`; the lock keeps others out."""
        self.write(name, data)

    def names(self) -> set[str]:
        """Names of the files there."""
        return {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep a second writer out; the lock ends with the process."""
        made_folder(self.path)
        try:
            lock = (self.path / LOCK).open("w")
        except OSError as error:
            raise LatdirError(
                f"cannot write to {self}: {error.strerror or error}; choose another folder"
            ) from error
        with lock as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise SamplesError(
                        f"another run is writing to {self}: wait for it, or choose another folder"
                    ) from error
            yield

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"LocalPlace({self.path})"


class ObjectPlace(Place):
    """A folder of an object store, or of any other file system of `pyarrow.fs`.

    Args:
        files: The file system.
        root: The folder in it.
        address: As it was given.
    """

    def __init__(self, files: Any, root: str, address: str) -> None:
        self.files, self.root, self.address = files, root.rstrip("/"), address
        self._client: Any = _s3_client(address) if files.type_name == "s3" else None
        # Of files that are replaced on a condition: their tag, None where there is none yet.
        self._tags: dict[str, str | None] = {}

    def read(self, name: str) -> bytes:
        """A file's bytes; what `replace` compares is kept."""
        try:
            if self._client is not None:
                data, self._tags[name] = self._got(name)
                return data
            with self.files.open_input_file(f"{self.root}/{name}") as file:
                found: bytes = file.read()
        except FileNotFoundError:
            self._tags[name] = None
            raise
        self._tags[name] = _digest(found)
        return found

    def _key(self, name: str) -> dict[str, str]:
        bucket, _, folder = self.root.partition("/")
        return {"Bucket": bucket, "Key": f"{folder}/{name}".lstrip("/")}

    def _got(self, name: str) -> tuple[bytes, str]:
        """A file's bytes and its entity tag."""
        errors: Any = importlib.import_module("botocore.exceptions")
        try:
            made = self._client.get_object(**self._key(name))
            return made["Body"].read(), made["ETag"]
        except errors.ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                raise FileNotFoundError(self.joined(name)) from error
            raise OSError(str(error)) from error
        except errors.BotoCoreError as error:
            raise OSError(str(error)) from error

    def opened(self, name: str) -> Any:
        """A file for `pyarrow`."""
        return self.files.open_input_file(f"{self.root}/{name}")

    def write(self, name: str, data: bytes) -> None:
        """Write a file; stores show it when it is complete."""
        with self._explained(name), self.files.open_output_stream(f"{self.root}/{name}") as file:
            file.write(data)

    def replace(self, name: str, data: bytes) -> None:
        """Write a file, if it is as this process last read or left it."""
        known = self._tags.get(name)
        if self._client is not None:
            self._tags[name] = self._put(name, data, known)
            return
        with contextlib.suppress(FileNotFoundError):
            self.read(name)
        if self._tags[name] != known:
            raise self._taken(name)
        self.write(name, data)
        self._tags[name] = _digest(data)

    def _put(self, name: str, data: bytes, known: str | None) -> str:
        """A put that the server refuses if the file has changed; its new entity tag."""
        errors: Any = importlib.import_module("botocore.exceptions")
        condition = {"IfNoneMatch": "*"} if known is None else {"IfMatch": known}
        try:
            made = self._client.put_object(**self._key(name), Body=data, **condition)
            return str(made["ETag"])
        except errors.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status in (404, 409, 412):
                raise self._taken(name) from error
            raise LatdirError(f"cannot write {self.joined(name)}: {error}") from error
        except errors.BotoCoreError as error:
            raise LatdirError(f"cannot write {self.joined(name)}: {error}") from error

    def _taken(self, name: str) -> SamplesError:
        return SamplesError(
            f"another run has written to {self.joined(name)} meanwhile: let it finish and run "
            "this again, or choose another folder"
        )

    def names(self) -> set[str]:
        """Names of the files there."""
        selector = fs.FileSelector(self.root, allow_not_found=True)
        with self._explained(""):
            return {found.base_name for found in self.files.get_file_info(selector)}

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError), self._explained(name):
            self.files.delete_file(f"{self.root}/{name}")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder where the store has folders."""
        with self._explained(""):
            self.files.create_dir(self.root, recursive=True)
        yield

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise LatdirError(
                f"cannot reach or write {self.joined(name)}: {error}; check the address, the "
                "credentials, and that the bucket exists"
            ) from error

    def __str__(self) -> str:
        return hidden(self.address.partition("?")[0].rstrip("/"))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _s3_client(address: str) -> Any:
    """A client of boto3 for conditional puts; None where it is not installed."""
    try:
        boto3: Any = importlib.import_module("boto3")
    except ImportError:
        return None
    parts, query = urlsplit(address), parse_qs(urlsplit(address).query)
    given: dict[str, Any] = {}
    if parts.username and parts.password:
        given["aws_access_key_id"] = unquote(parts.username)
        given["aws_secret_access_key"] = unquote(parts.password)
    if "region" in query:
        given["region_name"] = query["region"][0]
    if "endpoint_override" in query:
        scheme = query.get("scheme", ["https"])[0]
        given["endpoint_url"] = f"{scheme}://{query['endpoint_override'][0]}"
    return boto3.client("s3", **given)
