"""A small conda channel on loopback, and the packages in it. Source: conda's package specification; RFC 8878."""

import bz2
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.images.sources import Sources

PLACEHOLDER = "/placehold_placehold_placehold_placehold_placehold"
"""The prefix that packages are made with, and that is to be replaced in their files."""
_SUBDIRS = ("noarch", "linux-64", "linux-aarch64")


class ChannelServer(Sources):
    """Says, when it is asked, that a channel's index is there in no other form."""

    def __init__(self) -> None:
        super().__init__()
        self._server.RequestHandlerClass.do_HEAD = lambda request: request.send_error(404)


@dataclass(frozen=True)
class Link:
    target: str


@dataclass(frozen=True)
class Claimed:
    """A file that is said to be so large, and is not there."""

    size: int


type Files = Mapping[str, bytes | Link | Claimed]


@dataclass
class CondaChannel:
    sources: ChannelServer
    name: str = "channel"
    _records: dict[str, dict[str, Any]] = field(default_factory=lambda: {subdir: {} for subdir in _SUBDIRS})

    def __post_init__(self) -> None:
        for subdir in _SUBDIRS:
            self._publish(subdir)

    @property
    def url(self) -> str:
        return f"http://{self.sources.origin}/{self.name}"

    def add(
        self,
        name: str,
        version: str,
        files: Files | None = None,
        *,
        subdir: str = "noarch",
        depends: Sequence[str] = (),
        entry_points: Sequence[str] = (),
        legacy: bool = False,
        **claims: Any,
    ) -> str:
        """A package of those files, in the channel; its line of a lock.

        `claims` are what it says of itself otherwise: `paths` of paths.json, and any field of index.json.
        """
        files = files or {}
        paths = claims.pop("paths", None) or [_described(path, content) for path, content in files.items()]
        index = {"name": name, "version": version, "build": "0", "build_number": 0, "subdir": subdir, **claims}
        index["depends"] = list(depends)
        information: dict[str, bytes] = {
            "info/index.json": json.dumps(index).encode(),
            "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}).encode(),
        }
        if entry_points:
            noarch = {"type": "python", "entry_points": list(entry_points)}
            information["info/link.json"] = json.dumps({"noarch": noarch, "package_metadata_version": 1}).encode()
        file_name = f"{name}-{version}-0.{'tar.bz2' if legacy else 'conda'}"
        packed = bz2.compress(tar({**files, **information})) if legacy else _conda(file_name, files, information)
        self.sources.put(f"{self.name}/{subdir}/{file_name}", packed)
        digest = hashlib.sha256(packed).hexdigest()
        self._records[subdir][file_name] = {**index, "sha256": digest, "size": len(packed)}
        self._publish(subdir)
        return f"{self.url}/{subdir}/{file_name}#sha256:{digest}\n"

    def _publish(self, subdir: str) -> None:
        records = self._records[subdir]
        repodata = {
            "info": {"subdir": subdir},
            "packages": {name: record for name, record in records.items() if name.endswith(".bz2")},
            "packages.conda": {name: record for name, record in records.items() if name.endswith(".conda")},
            "repodata_version": 1,
        }
        self.sources.put(f"{self.name}/{subdir}/repodata.json", json.dumps(repodata).encode())


def _described(path: str, content: bytes | Link | Claimed) -> dict[str, Any]:
    if not isinstance(content, bytes):
        return {"_path": path, "path_type": "softlink"}
    described = {"_path": path, "path_type": "hardlink", "sha256": hashlib.sha256(content).hexdigest()}
    if PLACEHOLDER.encode() in content:
        described |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "binary" if b"\0" in content else "text"}
    return {**described, "size_in_bytes": len(content)}


def _conda(file_name: str, files: Files, information: Files) -> bytes:
    stem = file_name.removesuffix(".conda")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
        archive.writestr(f"pkg-{stem}.tar.zst", _zstandard(tar(files)))
        archive.writestr(f"info-{stem}.tar.zst", _zstandard(tar(information)))
    return packed.getvalue()


def tar(files: Files) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.mode = 0o755 if path.startswith("bin/") else 0o644
            if isinstance(content, Link):
                member.type, member.linkname = tarfile.SYMTYPE, content.target
                archive.addfile(member)
            elif isinstance(content, Claimed):
                member.size = content.size
                packed.write(member.tobuf())
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _zstandard(content: bytes) -> bytes:
    """One frame that tells its size in four bytes, of blocks that are not compressed."""
    largest = 128 * 1024
    frame = bytearray(b"\x28\xb5\x2f\xfd\xa0" + len(content).to_bytes(4, "little"))
    for start in range(0, len(content), largest):
        block = content[start : start + largest]
        is_last = start + largest >= len(content)
        frame += (len(block) << 3 | is_last).to_bytes(3, "little") + block
    return bytes(frame)
