"""Banks in folders and on a hub: cards, a real client against a server of its interface."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

import analysis
from directions import BankError, DirectionBank, LatdirError, Rendering, edit_grid
from directions.planted.world import planted
from directions.weight_files import downloads
from discovery import Boundary
from tests.worlds import labeled

hub = pytest.importorskip("huggingface_hub")
HUB, SHA = "https://huggingface.co", "1" * 40
QUIET = Rendering(progress=False)
WORLD = planted(factors=2, dim=8)


@pytest.fixture(scope="module")
def bank() -> DirectionBank:
    return Boundary(bootstrap=0).discover(labeled(WORLD, WORLD.classifier(), 300))


class Server(BaseHTTPRequestHandler):
    """What the client of a model hub asks for: repositories, commits, files."""

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, code: int, body: object = b"", **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.failing and "/commit/" in self.path:
            self.answer(403, {"error": "no write access"})
        elif self.path.endswith("/repos/create"):
            self.answer(200, {"url": f"{HUB}/me/faces", "name": "me/faces"})
        elif "/preupload/" in self.path:
            files = [f["path"] for f in json.loads(sent)["files"]]
            asked = [
                {"path": p, "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for p in files
            ]
            self.answer(200, {"files": asked})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in sent.splitlines()]
            values = [line["value"] for line in lines if line["key"] == "file"]
            self.server.files |= {v["path"]: base64.b64decode(v["content"]) for v in values}
            self.server.commits += 1
            self.answer(200, {"commitUrl": f"{HUB}/me/faces/commit/{SHA}", "commitOid": SHA,
                              "success": True})  # fmt: skip
        else:
            self.answer(200, {})

    def do_GET(self) -> None:
        content = self.server.files.get(self.path.rpartition("/")[2].partition("?")[0])
        if "/resolve/" not in self.path:
            self.answer(200, {"sha": SHA, "id": "me/faces", "siblings": []})
        elif content is None or "/gone/" in self.path:
            self.answer(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=SHA)
        else:
            self.answer(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"',
                        X_Repo_Commit=SHA, Content_Length=str(len(content)))  # fmt: skip

    do_HEAD = do_GET  # noqa: N815 - http.server's name


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    made.files, made.commits, made.failing = {}, 0, False
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{made.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def test_a_folder_has_the_bank_a_card_and_a_picture(bank: DirectionBank, tmp_path: Path) -> None:
    effects = analysis.measure_effects(WORLD, WORLD.classifier(), bank, count=32, rendering=QUIET)
    picture = edit_grid(WORLD, WORLD.sample(1, seed=0), bank)
    folder = bank.save_pretrained(
        tmp_path / "faces", license="cc0-1.0", effects=effects, preview=picture, warnings=["Toy."]
    )
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md", "bank.safetensors", "preview.webp"]  # fmt: skip
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith('---\nlicense: "cc0-1.0"\nlibrary_name: latdir\n')
    for said in (
        WORLD.name,
        WORLD.fingerprint,
        WORLD.classifier().name,
        "(preview.webp)",
        "- Toy.",
    ):
        assert said in card
    assert '"male"' in card
    for direction in bank:
        cell = effects.at(direction, direction)
        assert f"| {direction} | **{direction}** | {cell.mean:+.3f} [{cell.low:+.3f}, " in card
    assert (folder / "preview.webp").read_bytes()[8:12] == b"WEBP"
    again = DirectionBank.from_pretrained(folder, generator=WORLD)
    assert torch.equal(again.matrix(), bank.matrix())
    with pytest.raises(BankError, match=r"was made for .*, not for"):
        DirectionBank.from_pretrained(folder, generator=planted(factors=2, dim=9))


def test_what_was_not_measured_and_what_is_uncertain_is_said(
    bank: DirectionBank, tmp_path: Path
) -> None:
    wide = bank["factor_0"].evolve(evidence={"cone_degrees": 60.0})
    card = bank.replaced([wide]).save_pretrained(tmp_path / "b") / "README.md"
    text = card.read_text(encoding="utf-8")
    assert "- No effects were measured for this card." in text
    assert "- factor_0: the cone is 60° wide" in text
    assert "preview.webp" not in text


@pytest.mark.filterwarnings("ignore")
def test_a_pushed_bank_comes_back_and_another_generator_s_is_refused(
    bank: DirectionBank, tmp_path: Path, server: ThreadingHTTPServer
) -> None:
    address = bank.push_to_hub("me/faces", folder=tmp_path / "faces")
    assert address == f"{HUB}/me/faces/commit/{SHA}"
    assert server.commits == 1
    assert set(server.files) == {"README.md", "bank.safetensors"}
    again = DirectionBank.from_pretrained("me/faces", revision="main", generator=WORLD)
    assert torch.equal(again.matrix(), bank.matrix())
    with pytest.raises(BankError, match=r"was made for .*, not for"):
        DirectionBank.from_pretrained("me/faces", generator=planted(factors=2, dim=9))
    with pytest.raises(LatdirError, match=r"the files of me/faces at gone could not be fetched "):
        DirectionBank.from_pretrained("me/faces", revision="gone")


@pytest.mark.filterwarnings("ignore")
def test_a_failed_push_loses_nothing(
    bank: DirectionBank, tmp_path: Path, server: ThreadingHTTPServer
) -> None:
    folder = bank.save_pretrained(tmp_path / "faces", warnings=["Keep me."])
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    server.failing = True
    with pytest.raises(
        LatdirError, match=r"me/faces was not uploaded \(.*nothing is lost, .*/faces"
    ):
        bank.push_to_hub("me/faces", folder=folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert server.files == {}
    server.failing = False
    bank.push_to_hub("me/faces", folder=folder)
    assert server.files == before
    with pytest.raises(BankError, match="holds another bank: call save_pretrained"):
        bank.select(["factor_1"]).push_to_hub("me/faces", folder=folder)


def test_names_that_are_none_and_hubs_that_do_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BankError, match=r"there is no folder gone.safetensors, and a hub's banks"):
        DirectionBank.from_pretrained("gone.safetensors")
    monkeypatch.setattr(downloads, "reachable", lambda _: False)
    with pytest.raises(LatdirError, match="the files of no/body are not on this machine, and "):
        DirectionBank.from_pretrained("no/body")
