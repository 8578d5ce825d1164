"""Samples on object stores: the files of a folder, one writer, and what goes wrong on the way."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pyarrow import fs

from directions import LatdirError
from directions.executors import Local
from discovery import Boundary, Samples
from discovery.sampling import places
from discovery.sampling.places import ObjectPlace, hidden, place_of
from tests.discovery.sampling.test_executors import ROOT, RUN, digests, fill, killed_often


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is reached as an object store is, under `mock://`."""
    files = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    real = places.place_of

    def found(folder: str | Path) -> places.Place:
        address = str(folder)
        if address.startswith("mock://"):
            return ObjectPlace(files, address.removeprefix("mock://"), address)
        return real(folder)

    for module in ("sampler", "store", "samples", "shard_format"):
        monkeypatch.setattr(f"discovery.sampling.{module}.place_of", found)
    return tmp_path


def test_a_store_holds_the_files_of_a_folder(store: Path) -> None:
    fill("mock://there", Local(), 1500)
    fill("mock://there", Local(), 2500)
    fill(store / "here", Local(), 2500)
    assert digests(store / "there") == digests(store / "here")
    opened, here = Samples.open("mock://there"), Samples.load(store / "here")
    assert torch.equal(opened.codes, here.codes)
    assert torch.equal(Samples.load("mock://there").scores, here.scores)
    assert torch.equal(opened.population.covariance, here.population.covariance)
    found, expected = (Boundary().discover(s).matrix() for s in (opened, here))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    here.rows(slice(100)).save("mock://part")
    assert len(Samples.load("mock://part")) == 100
    with pytest.raises(LatdirError, match=r"mock://part holds samples already"):
        here.save("mock://part")


def test_a_second_writer_is_noticed(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = ObjectPlace.write
    count = 0

    def meanwhile(place: ObjectPlace, name: str, data: bytes) -> None:
        nonlocal count
        count += name.startswith("samples-")
        put(place, name, data)
        if count == 2:
            manifest = store / "there" / "_manifest.json"
            manifest.write_text(manifest.read_text() + "\n")

    monkeypatch.setattr(ObjectPlace, "write", meanwhile)
    with pytest.raises(LatdirError, match=r"another run has written to mock://there/_manifest"):
        fill("mock://there", Local(), 4000)


def test_contact_sheets_need_a_folder_of_this_machine(store: Path) -> None:
    from tests.discovery.sampling.test_sampler import run

    with pytest.raises(LatdirError, match="contact sheets need a folder: give out=… of this"):
        run(10, out="mock://there", sheets=3)


def test_addresses() -> None:
    assert place_of("file:///tmp/labels").local == Path("/tmp/labels")
    assert hidden("s3://me:secret@bucket/a?region=x") == "s3://me:…@bucket/a?region=x"
    with pytest.raises(LatdirError, match=r"no folder at nowhere://me:…@a \(.*s3://bucket/labels"):
        place_of("nowhere://me:secret@a")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server that speaks S3, in a process of its own."""
    pytest.importorskip("moto", reason="pip install 'moto[server,s3]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    query = f"scheme=http&endpoint_override=127.0.0.1%3A{port}&region=us-east-1"
    made, _ = fs.FileSystem.from_uri(f"s3://key:secret@labels?{query}&allow_bucket_creation=true")
    made.create_dir("labels")
    yield query
    process.kill()
    process.wait()


def address(query: str, name: str) -> str:
    return f"s3://key:secret@labels/{name}?{query}"


def taken(query: str, name: str) -> dict[str, bytes]:
    files, _ = fs.FileSystem.from_uri(f"s3://key:secret@labels?{query}")
    found = files.get_file_info(fs.FileSelector(f"labels/{name}"))
    return {f.base_name: files.open_input_file(f.path).read() for f in found}


@pytest.mark.slow
@pytest.mark.parametrize(
    "executor", ["Local()", "Processes(2)", "Ray(workers=2)"], ids=["local", "pool", "ray"]
)
def test_a_server_holds_the_files_of_a_folder_though_drivers_and_workers_are_killed(
    server: str, tmp_path: Path, executor: str
) -> None:
    if "Ray" in executor:
        pytest.importorskip("ray", reason="pip install 'latdir[ray]'")
    count = {"L": 20_000, "P": 40_000, "R": 100_000}[executor[0]]
    script = tmp_path / "run.py"
    script.write_text(RUN.format(root=str(ROOT), executor=executor))
    name = f"killed-{executor[0]}"
    there = address(server, name)

    def rows() -> int:
        try:
            return len(Samples.open(there, partial=True))
        except LatdirError:
            return 0

    killed_often(script, there, count, rows=rows, workers=executor != "Local()")
    fill(tmp_path / "whole", Local(), count)
    whole = {p.name: p.read_bytes() for p in (tmp_path / "whole").iterdir() if p.name != ".lock"}
    assert taken(server, name) == whole


@pytest.mark.slow
def test_a_server_refuses_a_manifest_that_has_changed(server: str) -> None:
    pytest.importorskip("boto3", reason="pip install 'latdir[s3]'")
    first, second = (place_of(address(server, "shared")) for _ in range(2))
    with pytest.raises(FileNotFoundError):
        first.read("_manifest.json")
    first.replace("_manifest.json", b"one")
    with pytest.raises(LatdirError, match="another run has written to s3://key:…@labels/shared/"):
        second.replace("_manifest.json", b"two")
    assert second.read("_manifest.json") == b"one"
    second.replace("_manifest.json", b"three")
    with pytest.raises(LatdirError, match="another run has written to"):
        first.replace("_manifest.json", b"four")
    fill(address(server, "here"), Local(), 1500)
    opened = Samples.open(address(server, "here"))
    assert opened.column("factor_1").shape == (1500,)
    found = Boundary(bootstrap=0).discover(opened)
    assert found.matrix().isfinite().all()
