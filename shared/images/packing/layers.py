"""Layers: deterministic tar archives, compressed and digested in one pass. Source: OCI image specification, layer.md."""

import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from shared.domain.errors import BuildFailed, foreign
from shared.domain.images import Layer
from shared.images.packing.compression import BLOCK, METHODS, BlockCompressor, Compression, Sink

TAR_FORMAT = "2"
"""Part of every cache key. Raise it when layers of the same content become others."""
APP = "var/azureml-app"
"""The one folder, which the driver works in (client-facts.md, 22 and 28)."""
WHITEOUT = ".wh."
"""What a name begins with that deletes another in an image (OCI image specification, layer.md, Whiteouts)."""
OPAQUE = ".wh..wh..opq"
"""The name that deletes all of its folder."""
SERVICE_USER = 65532
"""The user that images run as: nobody's account, not root."""


@dataclass(frozen=True)
class Entry:
    """A file, a link or a folder of a layer.

    `content` is read once, `size` bytes of it. Without content it is a symbolic link to `link`, or, without that, a folder.
    """

    path: str
    size: int = 0
    content: IO[bytes] | None = None
    executable: bool = False
    owner: int = 0
    link: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.content is None and not self.link


def is_whiteout(path: str) -> bool:
    """Whether a part of a path means something else than a file to an image."""
    return any(part.startswith(WHITEOUT) for part in path.split("/"))


def file_entry(path: str, file: Path, *, executable: bool = False, owner: int = 0) -> Entry:
    """An entry with the content of a file on this disk, opened when it is written."""
    return Entry(path, file.stat().st_size, cast("IO[bytes]", _Opened(file)), executable, owner)


def bytes_entry(path: str, content: bytes, *, executable: bool = False, owner: int = 0) -> Entry:
    """An entry with that content."""
    return Entry(path, len(content), io.BytesIO(content), executable, owner)


def layer_format(compression: Compression) -> str:
    """What the bytes of a layer depend on besides its entries: part of every cache key."""
    return f"tar-{TAR_FORMAT}-{METHODS[compression].format}"


def write_layer(entries: Iterable[Entry], into: Sink, title: str, compression: Compression) -> Layer:
    """Write the layer, the folders above its entries included; the same entries give the same bytes."""
    method = METHODS[compression]
    compressed = _Digesting(into)
    packing = BlockCompressor(compressed, method)
    uncompressed = _Digesting(packing)
    with tarfile.open(fileobj=cast("Any", uncompressed), mode="w|", format=tarfile.PAX_FORMAT, bufsize=BLOCK) as archive:
        archive.copybufsize = BLOCK  # type: ignore[attr-defined]  # no argument of it is in the type stubs
        _add_all(archive, entries)
    packing.close()
    return Layer(
        media_type=method.media_type,
        digest=compressed.digest,
        size=compressed.size,
        diff_id=uncompressed.digest,
        title=title,
    )


def _add_all(archive: tarfile.TarFile, entries: Iterable[Entry]) -> None:
    folders: set[str] = set()
    for entry in entries:
        parents = entry.path.split("/")[:-1]
        if is_whiteout(entry.path):
            raise BuildFailed(
                f"'{foreign(entry.path)}' is refused: names that begin with .wh. delete files.", code="BadName"
            )
        for depth in range(1, len(parents) + 1):
            folder = "/".join(parents[:depth])
            if folder not in folders:
                folders.add(folder)
                archive.addfile(_header(Entry(folder, owner=entry.owner if f"{folder}/".startswith(f"{APP}/") else 0)))
        if entry.is_folder:
            if entry.path in folders:
                continue
            folders.add(entry.path)
        archive.addfile(_header(entry), entry.content)


def _header(entry: Entry) -> tarfile.TarInfo:
    """Nothing of this machine or this hour: no times, no names, one of two modes."""
    info = tarfile.TarInfo(entry.path)
    info.type = tarfile.DIRTYPE if entry.is_folder else tarfile.SYMTYPE if entry.link else tarfile.REGTYPE
    info.linkname = entry.link
    info.size = entry.size
    info.mode = 0o777 if entry.link else 0o755 if entry.is_folder or entry.executable else 0o644
    info.uid = info.gid = entry.owner
    info.mtime = 0
    return info


class _Opened:
    """A file that is opened at its first read and closed at its end, so that a layer of many files holds one open."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._open: IO[bytes] | None = None

    def read(self, size: int = -1) -> bytes:
        if self._open is None:
            self._open = self._file.open("rb")
        data = self._open.read(size)
        if self._open.tell() >= self._file.stat().st_size:
            self._open.close()
            self._open = None
        return data


class _Digesting:
    """Passes bytes on, and keeps their digest and number."""

    def __init__(self, target: Sink) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._target.write(data)
        return len(data)
