"""A file that is turned over by size while it is written."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from local.compute.turned_file import TurnedFile, older

MOST = 1000
LINES = [f"line {number:05}" for number in range(1000)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


def kept(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in (older(path), path) if file.exists())


def pieces(text: str, size: int) -> Iterator[bytes]:
    data = text.encode()
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 7, 11, 999, 1000, 1001, 5000])
def test_lines_are_kept_whole_and_once_however_they_arrive(path: Path, size: int) -> None:
    with closing(TurnedFile(path, MOST)) as file:
        for piece in pieces("\n".join(LINES) + "\n", size):
            file.write(piece)
            assert all(one.stat().st_size <= MOST for one in path.parent.iterdir())
    lines = kept(path).decode().splitlines()
    assert lines == LINES[-len(lines) :]
    assert len(lines) >= MOST // len("line 00000\n")


@pytest.mark.parametrize("size", [1, 999, 1000, 5000])
def test_what_has_no_line_breaks_is_bounded_all_the_same(path: Path, size: int) -> None:
    text = "".join(LINES)
    with closing(TurnedFile(path, MOST)) as file:
        for piece in pieces(text, size):
            file.write(piece)
    assert MOST <= len(kept(path)) <= 2 * MOST
    assert text.endswith(kept(path).decode())


def test_what_was_kept_by_an_earlier_start_counts(path: Path) -> None:
    path.write_bytes(b"x" * 600 + b"\n")
    with closing(TurnedFile(path, MOST)) as file:
        file.write(b"y" * 500 + b"\n")
    assert (older(path).stat().st_size, path.stat().st_size) == (601, 501)


def test_a_file_that_is_too_long_already_is_not_kept(path: Path) -> None:
    path.write_bytes(b"x" * (MOST + 1))
    older(path).write_bytes(b"x" * (MOST + 1))
    with closing(TurnedFile(path, MOST)) as file:
        file.write(b"new\n")
    assert kept(path) == b"new\n"


def test_a_file_that_was_removed_is_not_made_again_and_stays_bounded(path: Path) -> None:
    with closing(TurnedFile(path, MOST)) as file:
        path.unlink()
        for line in LINES:
            file.write(f"{line}\n".encode())
    assert not list(path.parent.iterdir())


def test_a_disk_that_is_full_stops_nobody_and_is_told_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.symlink_to("/dev/full")
    with caplog.at_level(logging.WARNING), closing(TurnedFile(path, MOST)) as file:
        file.write(b"lost\n")
        file.write(b"lost, too\n")
    (told,) = caplog.messages
    assert os.strerror(errno.ENOSPC) in told
