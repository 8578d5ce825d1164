"""Writing files so that a crash, a full disk or a second writer never leaves half of one."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from directions.errors import LatdirError

__all__ = ["atomic"]


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, flushed to disk and renamed over it on success.

    On any error the temporary file is removed and `path` stays as it was.

    Args:
        path: The file to write. Its folder must exist.

    Yields:
        A path in the same folder to write to.

    Raises:
        LatdirError: The folder is missing or not writable, or the disk is full.

    Example:
        >>> import tempfile, pathlib
        >>> target = pathlib.Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic(target) as temporary:
        ...     _ = temporary.write_text("whole or not at all")
        >>> target.read_text()
        'whole or not at all'
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    except OSError as error:
        raise _explained(error, target) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes private files; a finished one gets what the umask would have given it.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as error:
        raise _explained(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)


def _explained(error: OSError, target: Path) -> LatdirError:
    if error.errno == errno.ENOSPC:
        return LatdirError(
            f"the disk is full: {target} was not written and nothing was lost; "
            "free some space and run the same command again"
        )
    return LatdirError(f"cannot write {target}: {error.strerror or error}; choose another path")
