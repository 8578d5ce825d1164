"""Answers, and work that takes longer than a picture."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from directions.errors import LatdirError

__all__ = ["Answer", "Job", "failed", "guarded"]

Answer = tuple[dict[str, Any], bytes]
"""What the page is told, as JSON values, and a picture or file."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """Work that may take longer than a picture.

    Attributes:
        run: Does it, on any thread, and changes nothing.
        finish: Takes its result, on the thread of `Session.handle`; returns answers.
    """

    run: Callable[[], Any]
    finish: Callable[[Any], list[Answer]]


def guarded(run: Callable[[], Any], finish: Callable[[Any], list[Answer]]) -> Job:
    """A job whose failure is an answer."""

    def tried() -> Any:
        try:
            return run()
        except Exception as error:
            return error

    def finished(result: Any) -> list[Answer]:
        try:
            return [failed(result)] if isinstance(result, Exception) else finish(result)
        except Exception as error:
            return [failed(error)]

    return Job(tried, finished)


def failed(error: Exception) -> Answer:
    """One sentence about what went wrong; the trace of what is not a user's mistake is logged."""
    text = " ".join(str(error).split())
    if not isinstance(error, LatdirError):
        log.error("the explorer goes on after a failure", exc_info=error)
        text = f"A model failed ({type(error).__name__}: {text[:200]}); the last picture is kept."
    return {"verb": "error", "text": text}, b""
