"""The notebook: the same page as a widget, over the kernel's own channel."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from directions.arguments import checked_kinds
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.errors import require
from directions.generators.base import Generator
from directions.paths import CurvedPath
from discovery.supervised.teach import Teach
from latdir.explorer.hosts.host import Host
from latdir.explorer.hosts.module import module_text
from latdir.explorer.pictures import png_bytes
from latdir.explorer.session import Session

__all__ = ["Explorer", "explore"]


@checked_kinds
def explore(
    bank: DirectionBank,
    generator: Generator,
    classifier: Classifier | None = None,
    *,
    paths: Iterable[CurvedPath] = (),
    teach: Teach | None = None,
    answers: str | Path | None = None,
) -> Explorer:
    """Explore a bank in a notebook: sliders, locks, scores, history, export.

    Put it last in a cell. Its `session` has what is on the screen: `session.state`, and
    `session.studio.edited(session.state)`, its code. A saved notebook shows the last picture.

    Args:
        bank: Directions of one space.
        generator: Makes the images; the bank belongs to it.
        classifier: Scores them; without one there are no scores and no locks.
        paths: Curved paths of the same space.
        teach: How directions are taught; by default `discovery.Teach()`.
        answers: Folder that keeps the answers of lessons as they are given, to go on with; without
            one they last as long as the explorer.

    Returns:
        The explorer.

    Raises:
        LatdirError: A bank or path of another generator or space, or anywidget is not installed.

    Example:
        >>> from directions import Direction
        >>> from directions.planted.world import planted
        >>> world = planted()
        >>> bank = DirectionBank.of(world, [Direction("up", world.truth[0], "z")])
        >>> explorer = explore(bank, world, world.classifier())
        >>> explorer.session.handle({"verb": "edit", "amounts": {"up": 1.0}})[0]["verb"]
        'picture'
        >>> explorer.close()
    """
    folder = None if answers is None else Path(answers)
    return Explorer(Session(bank, generator, classifier, paths=paths, teach=teach, answers=folder))


class Explorer:
    """An explorer in a notebook; put it last in a cell.

    Attributes:
        session: What is on the screen.
        widget: The bare widget, to be put into others.

    Args:
        session: What to show.

    Raises:
        LatdirError: anywidget is not installed.
    """

    def __init__(self, session: Session) -> None:
        anywidget = require("anywidget", "explore")
        self.session = session
        style = resources.files("latdir.explorer.hosts").joinpath("explorer.css")
        files = {"_esm": module_text(), "_css": style.read_text(encoding="utf-8")}
        self.widget: Any = type("ExplorerWidget", (anywidget.AnyWidget,), files)()
        self._host = Host(session, self._tell)
        self._still: Any = None
        self.widget.on_msg(self._receive)

    def close(self) -> None:
        """Stop the session's threads, and the widget."""
        self._host.close()
        self.widget.close()

    def _receive(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        self._host.receive(message, bytes(buffers[0]) if buffers else b"")

    def _tell(self, header: dict[str, Any], payload: bytes) -> None:
        self.widget.send(header, [payload] if payload else None)
        if header.get("step") is not None and self._still is not None:
            self._still.update(_Still(self.session))

    def _ipython_display_(self, **_: Any) -> None:
        display: Any = import_module("IPython.display").display
        display(self.widget)
        self._still = display(_Still(self.session), display_id=True)


class _Still:
    """The present picture, for the notebook's file; hidden while the widget lives."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        session = self._session
        picture = session.studio.picture(session.state)
        data = base64.b64encode(png_bytes(picture)).decode()
        moved = ", ".join(f"{name} {amount:+g}σ" for name, amount in session.state.moved.items())
        said = f"seed {session.state.seed}{': ' if moved else ''}{moved}"
        html = (
            "<figure class='latdir-still' style='margin:0'><img width='256' alt='' "
            f"src='data:image/png;base64,{data}'><figcaption>{said}</figcaption></figure>"
        )
        return {"text/html": html, "text/plain": said, "image/png": data}
