"""The files of resolved packages, and which of a package's wheels is the one for a platform.

Source: PyPA specifications, pylock.toml and platform compatibility tags.
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class PackageFile:
    """A file of a package in an index, with the digest that the index gives, `sha256:…`; empty when it gives none."""

    url: str
    digest: str

    @property
    def name(self) -> str:
        """The file's name."""
        return unquote(urlsplit(self.url).path).rpartition("/")[2]


@dataclass(frozen=True)
class PackageFiles:
    """The files of one version of a package that may be had: wheels, or its source."""

    name: str
    version: str
    wheels: tuple[PackageFile, ...]
    sdist: PackageFile | None

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"

    def wheel(self, tags: Sequence[Tag], hashes: Sequence[str]) -> PackageFile | None:
        """The wheel for whatever has those tags, the best first, among those of these digests."""
        fit = [file for file in self.wheels if file.digest in hashes and _rank(file.name, tags) is not None]
        return min(fit, key=lambda file: _rank(file.name, tags) or 0, default=None)


def _rank(name: str, tags: Sequence[Tag]) -> int | None:
    try:
        its_own = parse_wheel_filename(name)[3]
    except InvalidWheelFilename:
        return None
    return min((tags.index(tag) for tag in its_own if tag in tags), default=None)


def read_pylock(text: str) -> list[PackageFiles]:
    """The packages of a pylock.toml that uv wrote."""
    return [_package(package) for package in tomllib.loads(text).get("packages", [])]


def _package(package: dict[str, Any]) -> PackageFiles:
    wheels = tuple(_file(wheel) for wheel in package.get("wheels", ()))
    sdist = _file(package["sdist"]) if "sdist" in package else None
    return PackageFiles(canonicalize_name(package["name"]), str(package.get("version", "")), wheels, sdist)


def _file(file: dict[str, Any]) -> PackageFile:
    sha256 = file.get("hashes", {}).get("sha256", "")
    return PackageFile(str(file.get("url", "")), f"sha256:{sha256}" if sha256 else "")


def wheel_tags(platform: str, python: str) -> list[Tag]:
    """The tags of wheels that run there, the best first; `platform` as OCI names it."""
    system, _, machine = platform.partition("/")
    major, minor = (int(part) for part in python.split(".")[:2])
    if system == "linux":
        platforms = list(_manylinux(_MACHINES[machine]))
    else:
        platforms = list(mac_platforms((13, 0), "arm64" if machine == "arm64" else "x86_64"))
    version = (major, minor)
    return [*cpython_tags(version, platforms=platforms), *compatible_tags(version, f"cp{major}{minor}", platforms)]


def _manylinux(machine: str) -> Iterator[str]:
    for minor in range(28, 4, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if minor in _LEGACY:
            yield f"{_LEGACY[minor]}_{machine}"
    yield f"linux_{machine}"
