"""The page's server: who may connect, and what a broken connection keeps."""

import contextlib
import http.client
import socket

import pytest

from directions import LatdirError
from latdir.explorer.hosts.server import packed_frame, serve, unpacked_frame
from latdir.explorer.session import Session
from tests.latdir.explorer.conftest import running

pytest.importorskip("starlette", reason="the extra latdir[explore] is not installed")
client = pytest.importorskip("websockets.sync.client")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

TAB = "abcdefgh"


@pytest.fixture(scope="module")
def port(world, small_bank):
    with running(lambda: Session(small_bank, world)) as made:
        yield made


def connect(port, *, tab=TAB, host=None, origin=None):
    """A websocket as a browser opens it that was told to go to `host`."""
    host = host or f"127.0.0.1:{port}"
    return client.connect(
        f"ws://{host}/socket?tab={tab}",
        sock=socket.create_connection(("127.0.0.1", port)),
        origin=f"http://{host}" if origin is None else origin,
        compression=None,
    )


def asked(connection, **message):
    connection.send(packed_frame(message, b""))
    return unpacked_frame(connection.recv(timeout=10))


def get(port, path, host=None):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as made:
        made.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
        answer = made.getresponse()
        return answer, answer.read()


@pytest.mark.parametrize("path", ["/", "/page.js", "/explorer.js", "/explorer.css"])
def test_the_page_s_files_name_nothing_outside(port, path):
    answer, body = get(port, path)
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for outside in (b"https://", b"http://", b"//cdn", b"@import"):
        assert outside not in body.replace(b"http://www.w3.org/2000/svg", b"")


def test_a_message_is_answered_with_a_picture(port):
    with connect(port) as connection:
        header, picture = asked(connection, verb="open", id=5)
    assert (header["verb"], header["id"]) == ("open", 5)
    assert picture[:4] == b"RIFF"


def test_other_origins_are_refused(port):
    with pytest.raises(InvalidStatus):
        connect(port, origin="http://evil.example")
    with pytest.raises(InvalidStatus):
        connect(port, origin="")


def test_other_hosts_are_refused_unless_asked_for(port, world, small_bank):
    answer, body = get(port, "/", host="evil.example")
    assert answer.status == 403
    assert b"Start it with --host 0.0.0.0" in body
    with pytest.raises(InvalidStatus):
        connect(port, host="evil.example")
    with running(lambda: Session(small_bank, world), host="0.0.0.0") as opened:
        assert get(opened, "/", host="gpu7:8000")[0].status == 200
        with connect(opened, host="gpu7:8000") as connection:
            assert asked(connection, verb="open")[0]["verb"] == "open"
        with pytest.raises(InvalidStatus):
            connect(opened, host="gpu7:8000", origin="http://evil.example")


def test_a_lost_connection_keeps_its_state(port):
    with connect(port, tab="reconnect") as connection:
        asked(connection, verb="open")
        asked(connection, verb="edit", amounts={"factor_0": 1.25}, final=True)
    with connect(port, tab="reconnect") as connection:
        header, _ = asked(connection, verb="open")
    assert header["state"]["amounts"] == {"factor_0": 1.25}
    assert len(header["steps"]) == 2


def test_a_server_that_was_restarted_takes_the_page_s_state(world, small_bank):
    with running(lambda: Session(small_bank, world)) as port, connect(port) as connection:
        state = {"seed": 4, "amounts": {"factor_1": -1.0}}
        header, _ = asked(connection, verb="open", state=state)
        assert header["state"]["seed"] == 4
        assert header["state"]["amounts"] == {"factor_1": -1.0}


def test_tabs_have_sessions_of_their_own(port):
    with connect(port, tab="first-tab") as first, connect(port, tab="second-tab") as second:
        asked(first, verb="open")
        asked(second, verb="open")
        asked(first, verb="edit", amounts={"factor_0": 1.0}, final=True)
        header, _ = asked(second, verb="open")
    assert header["state"]["amounts"] == {}


def test_a_session_moves_to_the_tab_that_opens_it_last(port):
    with connect(port, tab="same-tab") as first:
        asked(first, verb="open")
        with connect(port, tab="same-tab") as second:
            assert asked(second, verb="open")[0]["verb"] == "open"
            with pytest.raises(ConnectionClosed) as closed:
                first.recv(timeout=10)
    assert closed.value.rcvd.code == 4409


@pytest.mark.parametrize("frame", [b"", b"\x09\x00\x00\x00nonsense!", b"\x02\x00\x00\x00[]"])
def test_a_broken_frame_is_one_sentence(port, frame):
    with connect(port, tab="broken-frames") as connection:
        connection.send(frame)
        header, _ = unpacked_frame(connection.recv(timeout=10))
        assert header["text"] == "this is not a frame of the explorer: reload the page"
        assert asked(connection, verb="open")[0]["verb"] == "open"


def test_a_busy_port_is_one_sentence():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        taken = busy.getsockname()[1]
        with pytest.raises(LatdirError, match=f"cannot listen on 127.0.0.1:{taken}.*--port"):
            serve(lambda: None, port=taken)
