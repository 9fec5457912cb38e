"""Archives, told by their content and read member by member: never extracted to disk, never trusted.

Only regular files and directories inside the folder are taken; anything else is an error that names the member. An
archive that is cut or damaged is an error, never a shorter archive.
"""

import bz2
import io
from collections.abc import Callable, Iterator
from typing import IO, cast

from isal import igzip

from shared.domain.errors import BuildFailed
from shared.images.content.guard import Counted, Guard, Limits
from shared.images.content.member import Member, broken_is_build_failed
from shared.images.content.tar_archives import old_tar, tar_reader
from shared.images.content.zip_archives import zip_members

_SIGNATURES = ((b"\x1f\x8b", "tar.gz"), (b"BZh", "tar.bz2"), (b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"))
_READERS: dict[str, Callable[[Counted, Guard], Iterator[Member]]] = {
    "tar": tar_reader(lambda packed: packed),
    "tar.gz": tar_reader(lambda packed: cast("IO[bytes]", igzip.open(packed, "rb"))),
    "tar.bz2": tar_reader(lambda packed: cast("IO[bytes]", bz2.BZ2File(packed))),
    "zip": zip_members,
}


def archive_kind(start: bytes, name: str) -> str:
    """What kind of archive begins so, by its first 512 bytes; raises BuildFailed when none does."""
    kind = next((kind for magic, kind in _SIGNATURES if start.startswith(magic)), "")
    if not kind and (start[257:262] == b"ustar" or old_tar(start)):
        kind = "tar"
    if not kind:
        raise BuildFailed(f"{name} is to be unpacked, but is no tar, tar.gz, tar.bz2 or zip.", code="NotAnArchive")
    return kind


def members(archive: io.RawIOBase, kind: str, name: str, limits: Limits) -> Iterator[Member]:
    """What an archive holds, in its order, each to be read before the next. Raises BuildFailed, naming the member.

    It is read once from its beginning to its end; only a zip must be one that can be sought in.
    """
    counted = Counted(archive)
    with broken_is_build_failed(name):
        yield from _READERS[kind](counted, Guard(name, counted, limits))
