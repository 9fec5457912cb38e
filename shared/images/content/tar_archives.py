"""Tar archives, read onwards only. What a header announces is bounded before it is read."""

import io
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO

from shared.domain.errors import BuildFailed
from shared.images.content.guard import Counted, Guard, bad_member
from shared.images.content.member import Member, MemberContent

READ = 256 * 1024
_LARGEST_READ = 1024 * 1024
_LARGEST_HEADER = 64 * 1024
"""Of what a tar says of one member beside its header: names and attributes."""
_LARGEST_GLOBAL = 4096
"""Of what a tar says of all members: each of them gets a copy."""
_MOST_EXTENSIONS = 16
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def tar_reader(open_stream: Callable[[IO[bytes]], IO[bytes]]) -> Callable[[Counted, Guard], Iterator[Member]]:
    def read(packed: Counted, guard: Guard) -> Iterator[Member]:
        # The stream counts its own bytes: a member's declared size must not be counted twice.
        stream = _Unpacked(open_stream(io.BufferedReader(packed, READ)), guard)
        header = type("Header", (_Header,), {"archive": guard.name})
        with tarfile.open(fileobj=stream, mode="r:", errorlevel=2, tarinfo=header) as archive:
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
                    raise bad_member(guard.name, info.name, "it is neither a regular file nor a directory")
                executable = bool(info.mode & stat.S_IXUSR)
                yield Member(path, info.size, MemberContent(content, info.size, guard.name), executable)
        _check_end(stream)

    return read


class _Unpacked(io.RawIOBase):
    """A decompressed stream, read onwards only, that counts what it gives; no header is larger than a header can be."""

    def __init__(self, stream: IO[bytes], guard: Guard) -> None:
        super().__init__()
        self._stream = stream
        self._guard = guard
        self._position = 0
        self.header = b""
        """The last block that was read as one: a header, or the mark of the end."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _LARGEST_READ:
            raise bad_member(self._guard.name, "", "a header is larger than 1 MiB")
        data = self._stream.read(size)
        self._position += len(data)
        self._guard.unpacked("", len(data))
        if size == tarfile.BLOCKSIZE:
            self.header = data
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        while self._position < offset and self.read(min(offset - self._position, _LARGEST_READ)):
            pass
        return self._position

    def tell(self) -> int:
        return self._position


class _Header(tarfile.TarInfo):
    """A header of a tar, refused before what it announces is read. `tarfile` calls these methods by the kind of header."""

    archive = ""
    extensions = 0
    """How many stood before this one since the last member; of one archive, as the class is."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        of_archive = type(self)
        of_archive.extensions = of_archive.extensions + 1 if self.type in _EXTENSIONS else 0
        if of_archive.extensions > _MOST_EXTENSIONS:
            raise self._refused(f"more than {_MOST_EXTENSIONS} headers stand before one member")
        if self.type in _EXTENSIONS and self.size > _LARGEST_HEADER:
            raise self._refused(f"a header holds {self.size} bytes, more than {_LARGEST_HEADER}")
        if self.type == tarfile.XGLTYPE and self.size + _size(archive.pax_headers) > _LARGEST_GLOBAL:
            raise self._refused(f"what it says of all members has more than {_LARGEST_GLOBAL} bytes")
        if self.size < 0:
            raise self._refused("its size is below zero")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise self._sparse()
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]  # typeshed leaves it out

    def _proc_gnusparse_00(self, *_: object) -> None:
        raise self._sparse()

    _proc_gnusparse_01 = _proc_gnusparse_10 = _proc_gnusparse_00

    def _sparse(self) -> BuildFailed:
        return bad_member(self.archive, self.name, "it is a sparse file; pack it without --sparse")

    def _refused(self, reason: str) -> BuildFailed:
        return bad_member(self.archive, "", reason)


def _size(headers: Mapping[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in headers.items())


def _check_end(stream: _Unpacked) -> None:
    """`tarfile` takes a damaged header for the end; and a compressed stream tells of damage at its own end only."""
    if stream.header.strip(b"\0"):
        raise tarfile.ReadError("a header in it is damaged")
    while stream.read(_LARGEST_READ):
        pass


def _is_root(info: tarfile.TarInfo) -> bool:
    return info.isdir() and info.name.strip("./") == ""


def old_tar(start: bytes) -> bool:
    """A tar from before the `ustar` mark is known by the checksum of its first header only, an empty one by its end."""
    try:
        tarfile.TarInfo.frombuf(start[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
        return True
    except tarfile.HeaderError:
        return False
    return True
