"""Retention of freed memory between large tensors.

glibc gives blocks above a few megabytes back to the system as soon as they are freed, and the
next tensor's pages have to be supplied and cleared anew: on a processor without large pages that
costs several times the arithmetic of an elementwise operation.
"""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

# mallopt's parameters, malloc.h of glibc.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Let this process keep up to 2 GiB of freed memory for its next tensors.

    Call it once, before the first large tensor, in a script or notebook that runs on the CPU; the
    `latdir` command does. It changes how the whole process allocates, so the library never calls
    it by itself. No result changes.

    Returns:
        Whether the C library knows these settings; on others than glibc nothing happens.

    Example:
        >>> keep_freed_memory() in (True, False)
        True
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**26))
    taken = [mallopt(name, value) == 1 for name, value in settings]
    return all(taken)
