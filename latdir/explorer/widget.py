"""The notebook: the same page as a widget, over the kernel's own channel."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from directions.arguments import checked_kinds
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.errors import require
from directions.generators.base import Generator
from directions.paths import CurvedPath
from latdir.explorer.host import Host
from latdir.explorer.pictures import png_bytes
from latdir.explorer.session import Session

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

__all__ = ["explore"]

WIDGET = "application/vnd.jupyter.widget-view+json"


@checked_kinds
def explore(
    bank: DirectionBank,
    generator: Generator,
    classifier: Classifier | None = None,
    *,
    paths: Iterable[CurvedPath] = (),
) -> Any:
    """Explore a bank in a notebook: sliders, locks, scores, history, export.

    Put it last in a cell. The widget's `session` has what is on the screen: `session.state`, and
    `session.studio.edited(session.state)`, its code. A saved notebook shows the last picture.

    Args:
        bank: Directions of one space.
        generator: Makes the images; the bank belongs to it.
        classifier: Scores them; without one there are no scores and no locks.
        paths: Curved paths of the same space.

    Returns:
        The widget.

    Raises:
        LatdirError: A bank or path of another generator or space, or anywidget is not installed.

    Example:
        >>> from directions import Direction
        >>> from directions.planted.world import planted
        >>> world = planted()
        >>> bank = DirectionBank.of(world, [Direction("up", world.truth[0], "z")])
        >>> widget = explore(bank, world, world.classifier())
        >>> widget.session.handle({"verb": "edit", "amounts": {"up": 1.0}})[0]["verb"]
        'picture'
        >>> widget.close()
    """
    session = Session(bank, generator, classifier, paths=paths)
    return _widget_class()(session)


@cache
def _widget_class() -> Any:
    """The widget's class, made when anywidget is first needed."""
    anywidget = require("anywidget", "explore")
    folder = resources.files("latdir.explorer")

    class Explorer(anywidget.AnyWidget):  # type: ignore[name-defined,misc]
        """An explorer in a notebook.

        Attributes:
            session: What is on the screen.
        """

        _esm = folder.joinpath("explorer.js").read_text(encoding="utf-8")
        _css = folder.joinpath("explorer.css").read_text(encoding="utf-8")

        def __init__(self, session: Session) -> None:
            super().__init__()
            self.session = session
            self._host = Host(session, self._tell)
            self._still: DisplayHandle | None = None
            self.on_msg(self._receive)

        def _receive(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
            self._host.receive(message, bytes(buffers[0]) if buffers else b"")

        def _tell(self, header: dict[str, Any], payload: bytes) -> None:
            self.send(header, [payload] if payload else None)
            if header.get("step") is not None and self._still is not None:
                self._still.update(_Still(self.session))

        def _ipython_display_(self, **given: Any) -> None:
            from IPython.display import display

            bundle = self._repr_mimebundle_(**given)
            data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
            display(data, metadata=metadata, raw=True)
            self._still = display(_Still(self.session), display_id=True)

        def close(self) -> None:
            """Stop the session's threads, and the widget."""
            self._host.close()
            super().close()

    return Explorer


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
