"""Archives, told by their content and read member by member: never extracted to disk, never trusted.

Only regular files and directories inside the folder are taken; anything else is an error that names the member. An
archive that is cut or damaged is an error, never a shorter archive.
"""

import bz2
import io
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any, cast

from isal import igzip, igzip_lib

from shared.domain.errors import BuildFailed, foreign

_LARGEST_HEADER = 1024 * 1024
_RATIO_FREE = 100 * 1024 * 1024
_READ = 256 * 1024


@dataclass(frozen=True)
class Limits:
    """What one archive may unpack to. Folders count as members, those that no member names included."""

    bytes: int = 32 * 1024**3
    members: int = 100_000
    ratio: int = 200
    path_length: int = 1024


@dataclass(frozen=True)
class Member:
    """A file of an archive: where it goes, its content and how long that is. Without content it is a folder."""

    path: str
    size: int = 0
    content: "MemberContent | None" = None
    executable: bool = False


def archive_kind(start: bytes, name: str) -> str:
    """What kind of archive begins so, by its first 512 bytes; raises BuildFailed when none does."""
    kind = next((kind for magic, kind in _SIGNATURES if start.startswith(magic)), "")
    if not kind and (start[257:262] == b"ustar" or _old_tar(start)):
        kind = "tar"
    if not kind:
        raise BuildFailed(f"{name} is to be unpacked, but is no tar, tar.gz, tar.bz2 or zip.", code="NotAnArchive")
    return kind


def members(archive: io.RawIOBase, kind: str, name: str, limits: Limits) -> Iterator[Member]:
    """What an archive holds, in its order, each to be read before the next. Raises BuildFailed, naming the member.

    It is read once from its beginning to its end; only a zip must be one that can be sought in.
    """
    counted = _Counted(archive)
    with _broken_is_build_failed(name):
        yield from _READERS[kind](counted, _Guard(name, counted, limits))


class MemberContent:
    """The content of a member, all of it or BuildFailed: it is read after `members` has given it away.

    `count` is told how much was read, where the archive's stream does not count that itself.
    """

    def __init__(self, stream: IO[bytes], size: int, archive: str, count: Callable[[int], None] | None = None) -> None:
        self._stream = stream
        self._left = size
        self._archive = archive
        self._count = count

    def read(self, size: int) -> bytes:
        """The next `size` bytes, or as many as are left."""
        expected = min(size, self._left)
        with _broken_is_build_failed(self._archive):
            data = self._stream.read(expected)
            if len(data) < expected:
                raise EOFError("it ends within a member")
        self._left -= len(data)
        if self._count is not None:
            self._count(len(data))
        return data


@contextmanager
def _broken_is_build_failed(name: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise BuildFailed(f"{name} cannot be unpacked: {foreign(error)}.", code="BadArchive") from error


def safe_path(path: str, name: str, limits: Limits) -> str:
    """That path inside the folder, in its shortest form; raises BuildFailed, naming the archive and the member."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    bad = (
        path.startswith("/")
        or ".." in parts
        or not parts
        or re.search(r"[\x00-\x1f\x7f\\]", path) is not None
        or re.match(r"[A-Za-z]:", path) is not None
        or len(path.encode("utf-8", "surrogateescape")) > limits.path_length
        or any(0xDC80 <= ord(character) <= 0xDCFF for character in path)
    )
    if bad:
        raise _bad_member(name, path, "its name does not stay inside the folder")
    return "/".join(parts)


class _Counted(io.RawIOBase):
    """An archive as it is read, and how much of it was."""

    def __init__(self, archive: io.RawIOBase) -> None:
        super().__init__()
        self._archive = archive
        self.read_so_far = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._archive.seekable()

    def readinto(self, buffer: Any, /) -> int:
        count = self._archive.readinto(buffer) or 0
        self.read_so_far += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._archive.seek(offset, whence)

    def tell(self) -> int:
        return self._archive.tell()


class _Guard:
    """Keeps count of what an archive has given, and stops what is too much."""

    def __init__(self, name: str, packed: _Counted, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self._packed = packed
        self._bytes = 0
        self._members = 0
        self._places: set[str] = set()

    def member(self, path: str, size: int) -> str:
        """Take one more member, which says that it is so large; its safe path."""
        safe = safe_path(path, self.name, self.limits)
        self._members += 1
        self._places.update((safe, *map(str, PurePosixPath(safe).parents[:-1])))
        if max(self._members, len(self._places)) > self.limits.members:
            raise _bad_member(self.name, path, f"there are more than {self.limits.members} members, folders included")
        self._refuse_too_large(path, self._bytes + size)
        return safe

    def unpacked(self, path: str, size: int) -> None:
        """Count so many bytes more, which were read."""
        self._bytes += size
        self._refuse_too_large(path, self._bytes)
        if self._bytes > _RATIO_FREE and self._bytes > self._packed.read_so_far * self.limits.ratio:
            raise _bad_member(self.name, path, f"it unpacks to more than {self.limits.ratio} times its size")

    def _refuse_too_large(self, path: str, size: int) -> None:
        if size > self.limits.bytes:
            raise _bad_member(self.name, path, f"it unpacks to more than {self.limits.bytes} bytes")


class _Unpacked(io.RawIOBase):
    """A decompressed stream, read onwards only, that counts what it gives; no header is larger than a header can be."""

    def __init__(self, stream: IO[bytes], guard: _Guard) -> None:
        super().__init__()
        self._stream = stream
        self._guard = guard
        self._position = 0
        self.header = b""
        """The last block that was read as one: a header, or the mark of the end."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _LARGEST_HEADER:
            raise _bad_member(self._guard.name, "", "a header is larger than 1 MiB")
        data = self._stream.read(size)
        self._position += len(data)
        self._guard.unpacked("", len(data))
        if size == tarfile.BLOCKSIZE:
            self.header = data
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        while self._position < offset and self.read(min(offset - self._position, _LARGEST_HEADER)):
            pass
        return self._position

    def tell(self) -> int:
        return self._position


def _tar(open_stream: Callable[[IO[bytes]], IO[bytes]]) -> Callable[[_Counted, _Guard], Iterator[Member]]:
    def read(packed: _Counted, guard: _Guard) -> Iterator[Member]:
        # The stream counts its own bytes: a member's declared size must not be counted twice.
        stream = _Unpacked(open_stream(io.BufferedReader(packed, _READ)), guard)
        with tarfile.open(fileobj=stream, mode="r:", errorlevel=2) as archive:
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would keep every member it has met
                if _is_root(info):
                    continue
                path = guard.member(info.name, 0)
                if info.isdir():
                    yield Member(path)
                    continue
                content = archive.extractfile(info) if info.isreg() else None
                if content is None or info.issparse():
                    raise _bad_member(guard.name, info.name, "it is neither a regular file nor a directory")
                executable = bool(info.mode & stat.S_IXUSR)
                yield Member(path, info.size, MemberContent(content, info.size, guard.name), executable)
        _check_end(stream)

    return read


def _check_end(stream: _Unpacked) -> None:
    """`tarfile` takes a damaged header for the end; and a compressed stream tells of damage at its own end only."""
    if stream.header.strip(b"\0"):
        raise tarfile.ReadError("a header in it is damaged")
    while stream.read(_LARGEST_HEADER):
        pass


def _is_root(info: tarfile.TarInfo) -> bool:
    return info.isdir() and info.name.strip("./") == ""


def _zip(packed: _Counted, guard: _Guard) -> Iterator[Member]:
    with zipfile.ZipFile(io.BufferedReader(packed, _READ)) as archive:
        for info in archive.infolist():
            path = guard.member(info.filename, info.file_size)
            mode = info.external_attr >> 16
            if info.is_dir():
                yield Member(path)
                continue
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise _bad_member(guard.name, info.filename, "it is neither a regular file nor a directory")
            with archive.open(info) as content:
                counted = MemberContent(content, info.file_size, guard.name, partial(guard.unpacked, info.filename))
                yield Member(path, info.file_size, counted, bool(mode & stat.S_IXUSR))


def _old_tar(start: bytes) -> bool:
    """A tar from before the `ustar` mark is known by the checksum of its first header only, an empty one by its end."""
    try:
        tarfile.TarInfo.frombuf(start[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
        return True
    except tarfile.HeaderError:
        return False
    return True


_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    cast("type[Exception]", igzip_lib.IsalError),
    lzma.LZMAError,
    EOFError,
    ValueError,
    OSError,
    NotImplementedError,  # how zipfile says that it does not know a compression
    RuntimeError,
)
_SIGNATURES = ((b"\x1f\x8b", "tar.gz"), (b"BZh", "tar.bz2"), (b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"))
_READERS: dict[str, Callable[[_Counted, _Guard], Iterator[Member]]] = {
    "tar": _tar(lambda packed: packed),
    "tar.gz": _tar(lambda packed: cast("IO[bytes]", igzip.open(packed, "rb"))),
    "tar.bz2": _tar(lambda packed: cast("IO[bytes]", bz2.BZ2File(packed))),
    "zip": _zip,
}


def _bad_member(archive: str, member: str, reason: str) -> BuildFailed:
    which = f"its member '{foreign(ascii(member)[1:-1], 120)}'" if member else "it"
    return BuildFailed(f"{archive} cannot be unpacked: {which} is refused, since {reason}.", code="BadArchive")
