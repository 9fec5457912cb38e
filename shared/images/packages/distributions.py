"""Distributions: the packages that a lock names, and the files that each of them owns once they are installed.

Source: PyPA specifications, recording installed projects; pip's requirements format with hashes.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packaging.utils import canonicalize_name

from shared.domain.errors import BuildFailed, foreign
from shared.images.packages.installed import dropped
from shared.images.packing.layers import is_whiteout

_LOCKED = re.compile(r"(?m)^([A-Za-z0-9][\w.-]*)(?:\[[^\]\n]*\])?==([^\s;\\]+)(?:[^\\\n]|\\.|\\\n)*\n?")
_HASH = re.compile(r"--hash[= ](\S+)")
_INFORMATION = ".dist-info"


@dataclass(frozen=True)
class LockedPackage:
    """A package of a lock: its canonical name, its version, the digests of its files, and its own lines of the lock."""

    name: str
    version: str
    hashes: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


def locked(lock: str) -> tuple[LockedPackage, ...]:
    """The packages of a lock, in its order. The texts of some of them, joined, are a lock of those."""
    return tuple(_package(found) for found in _LOCKED.finditer(lock))


def _package(found: re.Match[str]) -> LockedPackage:
    text = f"{found[0].rstrip()}\n"
    return LockedPackage(canonicalize_name(found[1]), found[2], tuple(_HASH.findall(text)), text)


def with_given_hashes(lock: str, requirements: Iterable[str]) -> str:
    """The lock, with only those digests of a package that its requirement gives, where it gives any.

    Raises BuildFailed when none of them is a file's of that version: it is not what was meant.
    """
    given = {_name(line): set(_HASH.findall(line)) for line in requirements if _HASH.search(line)}
    return "".join(_narrowed(package, given.get(package.name)) for package in locked(lock))


def _narrowed(package: LockedPackage, given: set[str] | None) -> str:
    if given is None:
        return package.text
    kept = [digest for digest in package.hashes if digest in given]
    if not kept:
        raise BuildFailed(
            f"{package}: none of the hashes in the requirements file is that of a file in the index. Give the sha256 of its "
            "files, or none.",
            code="HashMismatch",
        )
    return " \\\n    ".join([str(package), *(f"--hash={digest}" for digest in kept)]) + "\n"


def _name(requirement: str) -> str:
    return canonicalize_name(re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0])


def _information(tree: Path) -> dict[str, Path]:
    """The `.dist-info` folder of each distribution installed in a tree, by canonical name."""
    folders = sorted(tree.glob(f"*{_INFORMATION}"))
    return {canonicalize_name(folder.name.removesuffix(_INFORMATION).rpartition("-")[0]): folder for folder in folders}


def pure_distributions(tree: Path) -> set[str]:
    """The canonical names of those installed in a tree whose wheels were good for every platform."""
    return {name for name, folder in _information(tree).items() if _is_pure((folder / "WHEEL").read_text(encoding="utf-8"))}


def _is_pure(wheel: str) -> bool:
    tags = HeaderParser().parsestr(wheel).get_all("Tag") or []
    return bool(tags) and all(tag.endswith("-none-any") for tag in tags)


def split(tree: Path) -> Mapping[str, tuple[Path, ...]]:
    """The files of each distribution installed in a tree, by canonical name: sorted, relative to the tree.

    They are those its RECORD names, scripts included, without what no layer gets. Raises BuildFailed for a record that
    names a file outside.
    """
    return {name: tuple(sorted(_recorded(tree, folder))) for name, folder in _information(tree).items()}


def _recorded(tree: Path, folder: Path) -> Iterable[Path]:
    inside = tree.resolve()
    with (folder / "RECORD").open(newline="", encoding="utf-8") as record:
        for path in {Path(row[0]) for row in csv.reader(record) if row}:
            file = tree / path
            if ".." in path.parts or not file.resolve().is_relative_to(inside):
                message = f"{folder.name.removesuffix(_INFORMATION)} claims the file '{foreign(path)}', outside of its tree."
                raise BuildFailed(message, code="BadPackage")
            if is_whiteout(path.as_posix()):
                message = (
                    f"{folder.name.removesuffix(_INFORMATION)} brings '{foreign(path)}', which deletes files of an image."
                )
                raise BuildFailed(message, code="BadPackage")
            if file.is_file() and not dropped(path):
                yield path


def overlaps(owned: Mapping[str, tuple[Path, ...]]) -> Mapping[Path, tuple[str, ...]]:
    """The files that several distributions claim, and which: in one tree, the last to be installed has overwritten them."""
    claims: dict[Path, list[str]] = defaultdict(list)
    for name, files in owned.items():
        for file in files:
            claims[file].append(name)
    return {file: tuple(names) for file, names in sorted(claims.items()) if len(names) > 1}
