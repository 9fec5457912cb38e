"""Zip archives, which are sought in. Their directory is bounded before it is read."""

import io
import stat
import zipfile
from collections.abc import Iterator
from functools import partial
from typing import IO

from shared.images.content.guard import Counted, Guard, bad_member
from shared.images.content.member import Member, MemberContent

_READ = 256 * 1024
_LARGEST_DIRECTORY = 16 * 1024 * 1024
"""Of a zip's central directory, which is read before the first member."""


def _refuse_large_directory(packed: IO[bytes], guard: Guard) -> None:
    """Raises BuildFailed for a directory that `zipfile` would read whole before its first member can be counted."""
    end = zipfile._EndRecData(packed)  # type: ignore[attr-defined]  # noqa: SLF001  # what ZipFile itself believes
    if end is None:
        return
    entries, size = end[zipfile._ECD_ENTRIES_TOTAL], end[zipfile._ECD_SIZE]  # type: ignore[attr-defined]  # noqa: SLF001
    if entries > guard.limits.members:
        raise bad_member(guard.name, "", f"it has {entries} members, more than {guard.limits.members}")
    if size > _LARGEST_DIRECTORY:
        raise bad_member(guard.name, "", f"its directory has {size} bytes, more than {_LARGEST_DIRECTORY}")


def zip_members(packed: Counted, guard: Guard) -> Iterator[Member]:
    stream = io.BufferedReader(packed, _READ)
    _refuse_large_directory(stream, guard)
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            path = guard.member(info.filename, info.file_size)
            mode = info.external_attr >> 16
            if info.is_dir():
                yield Member(path)
                continue
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise bad_member(guard.name, info.filename, "it is neither a regular file nor a directory")
            with archive.open(info) as content:
                counted = MemberContent(content, info.file_size, guard.name, partial(guard.unpacked, info.filename))
                yield Member(path, info.file_size, counted, bool(mode & stat.S_IXUSR))
