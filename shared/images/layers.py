"""Layers: deterministic tar archives, compressed and digested in one pass. Source: OCI image specification, layer.md."""

import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, cast

from isal import igzip

from shared.domain.images import Layer

MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
FORMAT = f"1-igzip-2-isal-{version('isal')}"
"""Part of every cache key. Raise the first number when layers of the same content become others."""
_LEVEL = 2
_BUFFER = 1024 * 1024
APP = "var/azureml-app"
"""The one folder, which the driver works in (client-facts.md, 22 and 28)."""
SERVICE_USER = 65532
"""The user that images run as: nobody's account, not root."""


@dataclass(frozen=True)
class Entry:
    """A file or folder of a layer. `content` is read once, `size` bytes of it; None makes a folder."""

    path: str
    size: int = 0
    content: IO[bytes] | None = None
    executable: bool = False
    owner: int = 0


def file_entry(path: str, file: Path, *, executable: bool = False, owner: int = 0) -> Entry:
    """An entry with the content of a file on this disk, opened when it is written."""
    return Entry(path, file.stat().st_size, cast("IO[bytes]", _Opened(file)), executable, owner)


def bytes_entry(path: str, content: bytes, *, owner: int = 0) -> Entry:
    """An entry with that content."""
    return Entry(path, len(content), io.BytesIO(content), owner=owner)


def write_layer(entries: Iterable[Entry], into: Path, title: str) -> Layer:
    """Write the layer to the file `into`, the folders above its entries included; the same entries give the same bytes."""
    with into.open("wb") as file:
        compressed = _Digesting(file)
        with igzip.IGzipFile(filename="", mode="wb", fileobj=compressed, compresslevel=_LEVEL, mtime=0) as packing:
            uncompressed = _Digesting(packing)
            with tarfile.open(
                fileobj=cast("Any", uncompressed), mode="w|", format=tarfile.PAX_FORMAT, bufsize=_BUFFER
            ) as archive:
                _add_all(archive, entries)
    return Layer(
        media_type=MEDIA_TYPE, digest=compressed.digest, size=compressed.size, diff_id=uncompressed.digest, title=title
    )


def _add_all(archive: tarfile.TarFile, entries: Iterable[Entry]) -> None:
    folders: set[str] = set()
    for entry in entries:
        parents = entry.path.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            folder = "/".join(parents[:depth])
            if folder not in folders:
                folders.add(folder)
                archive.addfile(_header(Entry(folder, owner=entry.owner if f"{folder}/".startswith(f"{APP}/") else 0)))
        if entry.content is None:
            if entry.path in folders:
                continue
            folders.add(entry.path)
        archive.addfile(_header(entry), entry.content)


def _header(entry: Entry) -> tarfile.TarInfo:
    """Nothing of this machine or this hour: no times, no names, one of two modes."""
    info = tarfile.TarInfo(entry.path)
    info.type = tarfile.DIRTYPE if entry.content is None else tarfile.REGTYPE
    info.size = entry.size
    info.mode = 0o755 if entry.content is None or entry.executable else 0o644
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

    def __init__(self, target: Any) -> None:
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

    def flush(self) -> None:
        self._target.flush()
