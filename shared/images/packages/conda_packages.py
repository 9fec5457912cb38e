"""Conda packages, fetched, unpacked and checked. Source: conda's package specification; CEP 34.

rattler unpacks safely, but trusts what a package says of itself when it links its files: that is checked in between.
"""

import hashlib
import json
import logging
import re
import shutil
from asyncio import to_thread
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Literal
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from rattler import Client, PackageRecord, RepoDataRecord
from rattler.exceptions import ConvertSubdirError
from rattler.package_streaming import PackageArchive, download_to_writer, extract

from shared.domain.errors import BuildFailed, ServiceError, Unavailable, foreign
from shared.images.content.guard import Limits, safe_path

_logger = logging.getLogger(__name__)
_LARGEST = 4 * 1024**3
_LIMITS = Limits()
_SECTIONS: tuple[Literal["info", "pkg"], ...] = ("info", "pkg")
_FILE_NAME = re.compile(r"([\w.!+-]+-[\w.!+]+-[\w.!+]+)(?:\.conda|\.tar\.bz2)", re.ASCII)


@dataclass(frozen=True)
class UnpackedPackage:
    """A package that is safe to link: what rattler knows it by, and the paths that it names."""

    name: str
    record: RepoDataRecord
    paths: tuple[str, ...]

    def destinations(self, site_packages: str) -> Iterator[str]:
        """Where its files go; a noarch Python package leaves the folder of Python to the environment (CEP 34)."""
        for path in self.paths:
            folder, _, rest = path.partition("/")
            places = {"site-packages": site_packages, "python-scripts": "bin"} if self.record.noarch.python else {}
            yield f"{places.get(folder, folder)}/{rest}" if rest else path

    @property
    def site_packages(self) -> str:
        """Where it wants Python packages, if it is Python."""
        if self.record.name.normalized != "python":
            return ""
        major, minor = self.record.version.as_major_minor() or (0, 0)
        return self.record.python_site_packages_path or f"lib/python{major}.{minor}/site-packages"


async def unpacked(client: Client, url: str, sha256: str, *, downloads: Path, into: Path) -> UnpackedPackage:
    """The package of that digest, in a folder of its name below `into`, where rattler looks for it.

    Raises BuildFailed for content that has another digest, or that is not safe; Unavailable when it cannot be fetched.
    """
    file_name = unquote(urlsplit(url).path).rpartition("/")[2]
    named = _FILE_NAME.fullmatch(file_name)
    if not named:
        raise BuildFailed(f"'{foreign(file_name)}' is no conda package.", code="BadArchive")
    archive = downloads / f"{sha256}-{file_name}"
    if not await to_thread(_is_kept, archive, sha256):
        await _download(client, url, sha256, archive)
    folder = into / named[1]
    try:
        await _refuse_too_large(archive, named[1])
        await to_thread(extract, archive, folder)
        record = PackageRecord.from_index_json(folder / "info" / "index.json", sha256=sha256)
        paths = tuple(safe_path(path, named[1], _LIMITS) for path in _paths(folder, record))
        if record.python_site_packages_path:
            safe_path(record.python_site_packages_path, named[1], _LIMITS)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ConvertSubdirError) as error:
        raise BuildFailed(f"{named[1]} is no sound conda package: {foreign(error)}.", code="BadArchive") from error
    if f"{record.name.normalized}-{record.version}-{record.build}" != named[1]:
        raise BuildFailed(f"{named[1]} is refused: it holds {foreign(record)}.", code="BadArchive")
    for path in folder.rglob("*"):
        if path.is_symlink():
            refuse_link_outside(path, folder, named[1])
    return UnpackedPackage(named[1], RepoDataRecord(record, file_name, url, url.rpartition("/")[0]), paths)


def _is_kept(archive: Path, sha256: str) -> bool:
    """Whether it was fetched before, and is what it was: it is digested each time."""
    try:
        with archive.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False
    if not same:
        archive.unlink()
        _logger.warning("%s in the cache of packages was not what its SHA-256 says: it is fetched again.", archive.name)
    return same


async def _download(client: Client, url: str, sha256: str, into: Path) -> None:
    with TemporaryDirectory(dir=into.parent) as folder:
        partial = Path(folder) / into.name
        with partial.open("wb") as file:
            checked = _Checked(file, into.name)
            try:
                await _fetch(client, url, checked)
            except (OSError, RuntimeError) as error:
                raise channel_failure(f"{foreign(url)} could not be fetched: {foreign(error)}", "PackageChanged") from error
        if checked.sha256 != sha256:
            message = f"{foreign(url)} has the SHA-256 {checked.sha256} now, and had {sha256} when it was chosen."
            raise BuildFailed(f"{message} Register the manifest again to have packages chosen anew.", code="PackageChanged")
        partial.rename(into)


async def _fetch(client: Client, url: str, into: "_Checked") -> None:
    if url.startswith("file:"):
        await to_thread(_copy, Path(url2pathname(urlsplit(url).path)), into)
    else:
        await download_to_writer(client, url, into)


def _copy(file: Path, into: "_Checked") -> None:
    with file.open("rb") as reading:
        shutil.copyfileobj(reading, into)


def channel_failure(message: str, missing_code: str) -> ServiceError:
    """The error for what rattler says of a channel; `missing_code` is the code when there is no such thing in it."""
    if re.search(r"\(404 Not Found\)|could not find subdir|No such file", message):
        return BuildFailed(f"{message}.", code=missing_code)
    if re.search(r"\((401 Unauthorized|403 Forbidden)\)", message):
        return ServiceError(f"{message}.", code="ChannelUnauthorized")
    return Unavailable(f"{message}.", code="IndexUnavailable")


class _Checked:
    """A file under way: counted, and digested."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._size = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        self._size += len(data)
        if self._size > _LARGEST:
            raise BuildFailed(f"{self._name} is larger than {_LARGEST} bytes.", code="BadArchive")
        self._hash.update(data)
        return self._file.write(data)


async def _refuse_too_large(archive: Path, name: str) -> None:
    """Before it is unpacked: a small archive can fill a disk."""
    package = await PackageArchive.from_path(archive)
    size = members = 0
    for section in _SECTIONS:
        async for entry in package.stream(section):
            size, members = size + entry.size, members + 1
            if size > _LIMITS.bytes or members > _LIMITS.members:
                limits = f"{_LIMITS.bytes} bytes or {_LIMITS.members} members"
                raise BuildFailed(f"{name} is refused: it unpacks to more than {limits}.", code="BadArchive")


def _paths(folder: Path, record: PackageRecord) -> Iterator[str]:
    """What rattler makes paths of: the package's files and commands, and where Python, if it is that, wants packages."""
    information = folder / "info"
    yield from (entry["_path"] for entry in json.loads((information / "paths.json").read_bytes())["paths"])
    if record.noarch.python and (information / "link.json").exists():
        commands = json.loads((information / "link.json").read_bytes())["noarch"].get("entry_points", ())
        yield from (f"python-scripts/{command.partition('=')[0].strip()}" for command in commands)


def refuse_shadowed(packages: Sequence[UnpackedPackage]) -> None:
    """Raise BuildFailed when one brings a file below what another brings as a file or link: it could go anywhere."""
    site_packages = next((place for package in packages if (place := package.site_packages)), "")
    files = {path: package.name for package in packages for path in package.destinations(site_packages)}
    for path, name in files.items():
        above = path
        while above := above.rpartition("/")[0]:
            if above in files:
                shown = f"'{foreign(path, 120)}' of {name} is below '{foreign(above, 120)}' of {files[above]}"
                raise BuildFailed(f"The conda packages do not go together: {shown}.", code="BadArchive")


def refuse_link_outside(link: Path, tree: Path, name: str) -> None:
    """Raise BuildFailed, naming that link of `name`, unless it is relative and leads, by whichever links, into the tree."""
    target = link.readlink()
    if target.is_absolute() or not link.resolve().is_relative_to(tree.resolve()):
        shown = foreign(f"{link.relative_to(tree)} -> {target}", 120)
        raise BuildFailed(f"{name} is refused: its link '{shown}' leads outside.", code="BadArchive")
