"""Atomic writing: a crash, a full disk or a second writer never leaves a partial file."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from directions.errors import LatdirError

__all__ = ["atomic", "made_folder"]


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path next to `path`, flushed to disk and renamed over it on success.

    On any error the temporary file is removed and `path` stays as it was. A symbolic link is
    followed, so that its target is replaced and the link stays.

    Args:
        path: The file to write. Its folder must exist.

    Yields:
        A path in the same folder to write to; an empty file is there already.

    Raises:
        LatdirError: The folder is missing or not writable, or the disk is full.

    Example:
        >>> import tempfile, pathlib
        >>> target = pathlib.Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic(target) as temporary:
        ...     _ = temporary.write_text("all or nothing")
        >>> target.read_text()
        'all or nothing'
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:64]}.{secrets.token_hex(8)}.tmp")
    try:
        # Exclusive, and with the mode that the umask gives any new file.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    except OSError as error:
        raise _explained(error, target) from error
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        # An error that names some other file is not about writing this one.
        if error.filename not in (None, os.fspath(temporary), temporary):
            raise
        raise _explained(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(target.parent)


def made_folder(path: str | os.PathLike[str]) -> Path:
    """A folder, made with those above it where it is not there.

    Raises:
        LatdirError: It cannot be made.

    Example:
        >>> import tempfile
        >>> made_folder(Path(tempfile.mkdtemp()) / "new" / "folder").is_dir()
        True
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LatdirError(
            f"cannot make the folder {folder}: {error.strerror or error}; choose another path"
        ) from error
    return folder


def _flush_folder(folder: Path) -> None:
    """Make the renaming itself durable, where the system lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        # Some network file systems cannot; the file is complete all the same.
        pass
    finally:
        os.close(handle)


def _explained(error: OSError, target: Path) -> LatdirError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LatdirError(
            f"the disk is full: {target} was not written and nothing was lost; "
            "free some space and run the same command again"
        )
    if error.errno == errno.ENOENT and not target.parent.is_dir():
        return LatdirError(
            f"cannot write {target}: there is no folder {target.parent}; make it first"
        )
    return LatdirError(f"cannot write {target}: {error.strerror or error}; choose another path")
