"""Progress bars, imported when the first one is shown."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["progress_bars", "tqdm"]

_SHOWN: ContextVar[bool] = ContextVar("progress_bars", default=True)


@contextmanager
def progress_bars(shown: bool) -> Iterator[None]:
    """Turn all progress bars off, or leave them as they are, for a while.

    Where a function has `progress=` or a `Rendering` that turns one off, that holds as well.

    Args:
        shown: Whether bars are shown.

    Example:
        >>> with progress_bars(False):
        ...     list(tqdm("ab", delay=0))
        ['a', 'b']
    """
    token = _SHOWN.set(shown and _SHOWN.get())
    try:
        yield
    finally:
        _SHOWN.reset(token)


def tqdm(items: Iterable[Any] | None = None, **options: Any) -> Any:
    """Tqdm's bar for a terminal or notebook; a disabled one needs no tqdm.

    Args:
        items: What to count while it is iterated over.
        **options: tqdm's own, such as `desc`, `total`, `unit`, `delay`, `disable`.

    Example:
        >>> list(tqdm(range(3), disable=True))
        [0, 1, 2]
    """
    if _SHOWN.get() and not options.get("disable"):
        try:
            with warnings.catch_warnings():
                # In a notebook without ipywidgets it shows a bar of text, and no warning.
                warnings.filterwarnings("ignore", "IProgress not found")
                from tqdm.auto import tqdm as bar
        except ImportError:
            pass  # results do not depend on it
        else:
            return bar(items, **options)
    return _Hidden(items)


class _Hidden:
    """A bar that is not shown."""

    def __init__(self, items: Iterable[Any] | None) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items or ())

    def __enter__(self) -> _Hidden:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, n: int = 1) -> None:
        pass

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        pass

    def close(self) -> None:
        pass
