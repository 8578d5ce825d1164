"""A session on two threads: one answers messages, the other does what takes longer.

Of edits that arrive while a picture is made, only the newest is made next, so that none queues. A
job starts when no message has come for a moment, and its result takes its turn like a message:
scores never hold up an edit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from latdir.explorer.session import Job, Session

__all__ = ["Host"]

# Without a message for this long, in seconds, a job may start.
QUIET = 0.06
DRAGGED = ("edit", "source")


@dataclass(frozen=True)
class _Done:
    """A job and its result, on the way back to the session."""

    job: Job
    result: Any


@dataclass
class _Inbox:
    """What waits for the session: messages with their bytes, and done jobs."""

    waiting: deque[tuple[Mapping[str, Any], bytes] | _Done] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    closed: bool = False

    def put(self, item: tuple[Mapping[str, Any], bytes] | _Done) -> None:
        with self.changed:
            if not isinstance(item, _Done) and self.waiting:
                last = self.waiting[-1]
                if not isinstance(last, _Done) and _same_drag(last[0], item[0]):
                    self.waiting.pop()
                    item = {**item[0], "final": _final(last[0]) or _final(item[0])}, item[1]
            self.waiting.append(item)
            self.changed.notify()

    def get(self, timeout: float | None) -> tuple[Mapping[str, Any], bytes] | _Done | None:
        """The next one; None after so many seconds without one, or once the inbox is closed."""
        with self.changed:
            self.changed.wait_for(lambda: self.waiting or self.closed, timeout)
            return self.waiting.popleft() if self.waiting and not self.closed else None

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify()


class Host:
    """A session that answers on threads of its own.

    Args:
        session: The session; nothing else may use it.
        send: Takes an answer's values and bytes, on any thread.
    """

    def __init__(self, session: Session, send: Callable[[dict[str, Any], bytes], None]) -> None:
        self.session, self.send = session, send
        self._inbox = _Inbox()
        self._jobs = ThreadPoolExecutor(1, "latdir-explorer-jobs")
        self._thread = threading.Thread(
            target=self._answer, name="latdir-explorer-answers", daemon=True
        )
        self._thread.start()

    def receive(self, message: Mapping[str, Any], payload: bytes = b"") -> None:
        """Take a message; it is answered by `send`."""
        self._inbox.put((message, payload))

    def close(self) -> None:
        """Stop; what runs is finished first."""
        self._inbox.close()
        self._thread.join()
        self._jobs.shutdown()

    def _answer(self) -> None:
        working = looked = False
        while not self._inbox.closed:
            item = self._inbox.get(None if working or looked else QUIET)
            if isinstance(item, _Done):
                working = looked = False
                for answer in item.job.finish(item.result):
                    self.send(*answer)
            elif item is not None:
                looked = False
                self.send(*self.session.handle(*item))
            elif not self._inbox.closed:
                job, looked = self.session.job(), True
                if job is not None:
                    working = True
                    self._jobs.submit(self._work, job)

    def _work(self, job: Job) -> None:
        self._inbox.put(_Done(job, job.run()))


def _same_drag(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    verb = second.get("verb")
    return verb in DRAGGED and first.get("verb") == verb and first.keys() == second.keys()


def _final(message: Mapping[str, Any]) -> bool:
    return bool(message.get("final"))
