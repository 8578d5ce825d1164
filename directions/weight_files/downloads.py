"""Weights that other packages download: found, fetched, or asked for in one line.

A package that cannot reach its host retries for minutes and then shows a page of its own calls.
Here the host is tried once, for a few seconds, and the message says which file to put where.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from directions.errors import CheckpointError, LatdirError

__all__ = ["fetched", "reachable"]

PATIENCE = 5.0
SAID = 120  # characters of another package's message
T = TypeVar("T")


def reachable(host: str, *, timeout: float = PATIENCE) -> bool:
    """Whether a host, or the proxy that leads to it, answers within some seconds.

    Args:
        host: Such as `huggingface.co`, or with a port, `localhost:8080`.
        timeout: Seconds, the look-up of its address included.

    Example:
        >>> reachable("no-such-host.invalid")
        False
    """
    proxy = None if proxy_bypass(host) else getproxies().get("https")
    parts = urlsplit(proxy or f"https://{host}")
    place = parts.hostname or host, parts.port or (80 if parts.scheme == "http" else 443)
    answered = threading.Event()

    def call() -> None:
        try:
            socket.create_connection(place, timeout=timeout).close()
        except OSError:
            return
        answered.set()

    # In a thread, since looking an address up has no timeout of its own.
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()


def fetched(
    load: Callable[[bool], T], *, what: str, host: str, remedy: str, file: Path | None = None
) -> T:
    """What `load` returns, where weights are on disk or can be fetched.

    Args:
        load: Called with whether the host answers; where it does not, it takes local files only.
        what: The weights, for the message.
        host: Where the package fetches them.
        remedy: Which file to fetch and where to put it.
        file: The file that the package keeps; where it is there, the host is not called.

    Raises:
        CheckpointError: They are neither here nor to be had; the message holds the remedy.

    Example:
        >>> def absent(online):
        ...     raise OSError("not in the cache")
        >>> fetched(absent, what="the weights of 'ViT'", host="no-such-host.invalid",
        ...         remedy="fetch ViT.pt and put it into ~/.cache")
        Traceback (most recent call last):
        ...
        directions.errors.CheckpointError: the weights of 'ViT' are not on this machine, and
        no-such-host.invalid does not answer (not in the cache): fetch ViT.pt and put it into
        ~/.cache
    """
    here = file is not None and file.is_file()
    online = not here and reachable(host)
    before = socket.getdefaulttimeout()
    if not online:
        socket.setdefaulttimeout(PATIENCE)
    try:
        return load(online)
    except LatdirError:
        raise
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), "")[:SAID] or "without a message"
        if here:
            why = f"{file} could not be read ({type(error).__name__}: {said})"
        elif online:
            why = f"{what} could not be fetched from {host} ({type(error).__name__}: {said})"
        else:
            why = f"{what} are not on this machine, and {host} does not answer ({said})"
        raise CheckpointError(f"{why}: {remedy}") from error
    finally:
        socket.setdefaulttimeout(before)
