"""The page: a small web server, and a session behind a websocket for each tab.

A frame is four bytes with the length of a JSON header, little-endian, the header, and a picture
or file. Only pages that this server gave out may open the websocket: the browser says where a page
is from, and that must be the address it talks to, which by default must be this machine.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from directions.errors import LatdirError, require
from latdir.explorer.hosts.host import Host
from latdir.explorer.hosts.module import module_text
from latdir.explorer.session import Session

__all__ = [
    "allowed_host", "application", "listening", "packed_frame", "serve", "unpacked_frame",
    "web_server",
]  # fmt: skip

LOCAL = ("localhost", "127.0.0.1", "::1")
# Of sessions that no tab is connected to, the latest stay.
MOST_SESSIONS = 16
LARGEST_FRAME = 32 * 2**20
MODULE = "explorer.js"
FILES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/explorer.js": (MODULE, "text/javascript"),
    "/explorer.css": ("explorer.css", "text/css"),
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
REFUSED, MOVED = 4403, 4409


def packed_frame(header: dict[str, Any], payload: bytes) -> bytes:
    """A message or an answer as one frame.

    Example:
        >>> unpacked_frame(packed_frame({"verb": "keep"}, b"png"))
        ({'verb': 'keep'}, b'png')
    """
    text = json.dumps(header, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return len(text).to_bytes(4, "little") + text + payload


def unpacked_frame(frame: bytes) -> tuple[dict[str, Any], bytes]:
    """The message in a frame.

    Raises:
        LatdirError: It is not a frame.
    """
    end = 4 + int.from_bytes(frame[:4], "little")
    try:
        header = json.loads(frame[4:end])
    except ValueError as error:
        raise LatdirError("this is not a frame of the explorer: reload the page") from error
    if not isinstance(header, dict):
        raise LatdirError("this is not a frame of the explorer: reload the page")
    return header, frame[end:]


@dataclass(eq=False)
class _Tab:
    """The session of one tab, and the connection it answers on now."""

    host: Host
    outbox: asyncio.Queue[bytes | None] | None = None


@dataclass
class _Tabs:
    """Sessions by the name that each tab gave itself."""

    make: Callable[[], Session]
    loop: asyncio.AbstractEventLoop | None = None
    open: OrderedDict[str, _Tab] = field(default_factory=OrderedDict)

    def get(self, name: str) -> _Tab:
        if name not in self.open:
            self.open[name] = self._made()
            self._forget()
        self.open.move_to_end(name)
        return self.open[name]

    def _made(self) -> _Tab:
        def send(header: dict[str, Any], payload: bytes) -> None:
            if tab.outbox is not None and self.loop is not None and not self.loop.is_closed():
                frame = packed_frame(header, payload)
                self.loop.call_soon_threadsafe(tab.outbox.put_nowait, frame)

        tab = _Tab(Host(self.make(), send))
        return tab

    def _forget(self) -> None:
        for name in [name for name, tab in self.open.items() if tab.outbox is None]:
            if len(self.open) > MOST_SESSIONS:
                self.open.pop(name).host.close()

    def close(self) -> None:
        for tab in self.open.values():
            tab.host.close()


def application(make: Callable[[], Session], *, host: str = "127.0.0.1") -> Any:
    """The web application of an explorer, for an ASGI server.

    Args:
        make: Makes a session for a new tab; the models may be shared.
        host: The address it will listen on: other than this machine's own, requests to any name
            are answered.

    Raises:
        LatdirError: Starlette is not installed.
    """
    require("starlette", "explore")
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    tabs = _Tabs(make)
    folder = resources.files("latdir.explorer.hosts")

    async def file(request: Request) -> Response:
        if not allowed_host(request.headers.get("host", ""), host):
            return PlainTextResponse(_elsewhere(request.headers.get("host", "")), 403)
        name, kind = FILES[request.url.path]
        text = module_text() if name == MODULE else folder.joinpath(name).read_text("utf-8")
        return Response(text, media_type=kind, headers=HEADERS)

    async def connected(websocket: WebSocket) -> None:
        asked, origin = websocket.headers.get("host", ""), websocket.headers.get("origin", "")
        if not (allowed_host(asked, host) and urlsplit(origin).netloc == asked):
            await websocket.close(REFUSED)
            return
        name = websocket.query_params.get("tab", "")
        if not re.fullmatch(r"[\w-]{8,64}", name):
            await websocket.close(REFUSED)
            return
        await websocket.accept()
        tabs.loop = asyncio.get_running_loop()
        tab = tabs.get(name)
        if tab.outbox is not None:
            tab.outbox.put_nowait(None)
        outbox = tab.outbox = asyncio.Queue()
        sending = asyncio.create_task(_sent(websocket, outbox))
        try:
            while True:
                frame = await websocket.receive_bytes()
                try:
                    tab.host.receive(*unpacked_frame(frame))
                except LatdirError as error:
                    outbox.put_nowait(packed_frame({"verb": "error", "text": str(error)}, b""))
        except (WebSocketDisconnect, RuntimeError, KeyError):
            # Gone, closed from here, or a frame of text.
            pass
        finally:
            if tab.outbox is outbox:
                tab.outbox = None
            sending.cancel()

    async def _sent(websocket: WebSocket, outbox: asyncio.Queue[bytes | None]) -> None:
        while (frame := await outbox.get()) is not None:
            await websocket.send_bytes(frame)
        await websocket.close(MOVED)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        yield
        tabs.close()

    routes = [*(Route(path, file) for path in FILES), WebSocketRoute("/socket", connected)]
    return Starlette(routes=routes, lifespan=life)


def allowed_host(asked: str, host: str) -> bool:
    """Whether a request was meant for this server, by the name that the browser used.

    Example:
        >>> allowed_host("localhost:8000", "127.0.0.1"), allowed_host("evil.org", "127.0.0.1")
        (True, False)
        >>> allowed_host("gpu7:8000", "0.0.0.0")
        True
    """
    name = urlsplit(f"//{asked}").hostname or ""
    return name in LOCAL or host not in LOCAL


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one.

    Raises:
        LatdirError: The port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(64)
    except OSError as error:
        made.close()
        raise LatdirError(
            f"cannot listen on {host}:{port} ({error.strerror or error}): choose another with "
            "--port, or 0 for a free one"
        ) from error
    return made


def serve(
    make: Callable[[], Session],
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    started: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve the page until interrupted.

    Args:
        make: Makes a session for a new tab.
        host: Address to listen on.
        port: Port; 0 for a free one.
        started: Is told the address of the page.

    Raises:
        LatdirError: The port is taken, or uvicorn is not installed.
    """
    app = application(make, host=host)
    with listening(host, port) as taken:
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        shown = f"[{shown}]" if ":" in shown else shown
        started(f"http://{shown}:{taken.getsockname()[1]}")
        web_server(app).run(sockets=[taken])


def web_server(app: Any) -> Any:
    """A uvicorn server of an application; `run(sockets=[listening(…)])` runs it.

    Raises:
        LatdirError: Uvicorn or websockets is not installed.
    """
    uvicorn = require("uvicorn", "explore")
    require("websockets", "explore")
    return uvicorn.Server(
        uvicorn.Config(
            app, log_level="warning", ws="websockets-sansio", ws_max_size=LARGEST_FRAME,
            ws_per_message_deflate=False, timeout_graceful_shutdown=1,
        )
    )  # fmt: skip


def _elsewhere(asked: str) -> str:
    return (
        f"This explorer answers to this machine only, not to {asked!r}. Start it with "
        "--host 0.0.0.0 to open it to others.\n"
    )
