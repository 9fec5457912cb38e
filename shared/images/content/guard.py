"""What one archive may hold: paths that stay inside the folder, and no more of anything than is allowed."""

import io
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from shared.domain.errors import BuildFailed, foreign
from shared.images.packing.layers import is_whiteout

_RATIO_FREE = 100 * 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What one archive may unpack to. Folders count as members, those that no member names included."""

    bytes: int = 32 * 1024**3
    members: int = 100_000
    ratio: int = 200
    path_length: int = 1024
    names: int = 16 * 1024 * 1024
    """Characters of all members' paths."""


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
        raise bad_member(name, path, "its name does not stay inside the folder")
    if is_whiteout(path):
        raise bad_member(name, path, "names that begin with .wh. delete files of an image")
    return "/".join(parts)


class Counted(io.RawIOBase):
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


class Guard:
    """Keeps count of what an archive has given, and stops what is too much."""

    def __init__(self, name: str, packed: Counted, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self._packed = packed
        self._bytes = 0
        self._members = 0
        self._names = 0
        self._places: set[str] = set()

    def member(self, path: str, size: int) -> str:
        """Take one more member, which says that it is so large; its safe path."""
        safe = safe_path(path, self.name, self.limits)
        self._members += 1
        self._names += len(safe)
        if self._names > self.limits.names:
            raise bad_member(self.name, path, f"the names of its members have more than {self.limits.names} characters")
        self._places.update((safe, *map(str, PurePosixPath(safe).parents[:-1])))
        if max(self._members, len(self._places)) > self.limits.members:
            raise bad_member(self.name, path, f"there are more than {self.limits.members} members, folders included")
        self._refuse_too_large(path, self._bytes + size)
        return safe

    def unpacked(self, path: str, size: int) -> None:
        """Count so many bytes more, which were read."""
        self._bytes += size
        self._refuse_too_large(path, self._bytes)
        if self._bytes > _RATIO_FREE and self._bytes > self._packed.read_so_far * self.limits.ratio:
            raise bad_member(self.name, path, f"it unpacks to more than {self.limits.ratio} times its size")

    def _refuse_too_large(self, path: str, size: int) -> None:
        if size > self.limits.bytes:
            raise bad_member(self.name, path, f"it unpacks to more than {self.limits.bytes} bytes")


def bad_member(archive: str, member: str, reason: str) -> BuildFailed:
    which = f"its member '{foreign(ascii(member)[1:-1], 120)}'" if member else "it"
    return BuildFailed(f"{archive} cannot be unpacked: {which} is refused, since {reason}.", code="BadArchive")
