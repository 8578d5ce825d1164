"""Atomic writing: whole or not at all, whatever happens."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from directions import LatdirError
from directions.storage.atomic import atomic


def test_a_new_file_gets_the_umask_mode_and_leaves_nothing_else(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic(tmp_path / "a.txt") as temporary:
            assert temporary.parent == tmp_path
            temporary.write_text("new")
    finally:
        os.umask(before)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("no"), LatdirError("no")])
def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, error: type | Exception) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def interrupted() -> None:
        with atomic(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises((KeyboardInterrupt, RuntimeError, LatdirError)) as met:
        interrupted()
    assert met.value is error or met.type is error
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with (
        pytest.raises(LatdirError, match=r"the disk is full: .*a\.txt was not written"),
        atomic(target),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_really_full_disk_is_reported(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")

    def filled() -> None:
        with atomic(tmp_path / "a"), full.open("wb", buffering=0) as stream:
            stream.write(b"x")

    with pytest.raises(LatdirError, match="the disk is full"):
        filled()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with (
        pytest.raises(LatdirError, match=r"there is no folder .*nowhere; make it first"),
        atomic(tmp_path / "nowhere" / "a"),
    ):
        pass


def test_a_folder_in_the_way_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with (
        pytest.raises(LatdirError, match=r"cannot write .*choose another path"),
        atomic(tmp_path / "a") as temporary,
    ):
        temporary.write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_an_error_about_another_file_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), atomic(tmp_path / "a"):
        (tmp_path / "elsewhere").read_bytes()


def test_a_symbolic_link_is_written_through(tmp_path: Path) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(real)
    with atomic(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250)
    with atomic(target) as temporary:
        temporary.write_text("x")
    assert target.read_text() == "x"


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with atomic(target) as first, atomic(target) as second:
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
