"""A member of an archive, and its content: all of it, or an error that says that the archive is broken."""

import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, cast

from isal import igzip_lib

from shared.domain.errors import BuildFailed, foreign

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    cast("type[Exception]", igzip_lib.IsalError),
    lzma.LZMAError,
    EOFError,
    OverflowError,
    struct.error,
    LookupError,
    ValueError,
    OSError,
    NotImplementedError,  # how zipfile says that it does not know a compression
    RuntimeError,
)


@dataclass(frozen=True)
class Member:
    """A file of an archive: where it goes, its content and how long that is. Without content it is a folder."""

    path: str
    size: int = 0
    content: "MemberContent | None" = None
    executable: bool = False


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
        with broken_is_build_failed(self._archive):
            data = self._stream.read(expected)
            if len(data) < expected:
                raise EOFError("it ends within a member")
        self._left -= len(data)
        if self._count is not None:
            self._count(len(data))
        return data


@contextmanager
def broken_is_build_failed(name: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise BuildFailed(f"{name} cannot be unpacked: {foreign(error)}.", code="BadArchive") from error
