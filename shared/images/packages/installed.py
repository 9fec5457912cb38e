"""Installed packages as entries of a layer, freed of all that tells which machine, when and by what they were installed."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from shared.images.packing.layers import Entry, bytes_entry, file_entry

_DROPPED_NAMES = frozenset({".lock", "uv_build.json", "direct_url.json", "uv_cache.json"})
_BY_SHELL = b"#!/bin/sh\n'''exec' "
"""How a script begins whose Python has too long a path for a first line of its own; two lines more belong to it."""
_PORTABLE = b"#!/usr/bin/env python3\n"


def installed_entries(tree: Path, under: str, files: Iterable[Path] | None = None) -> Iterator[Entry]:
    """The files below `tree`, sorted, or only those, relative to it, as entries below `under`."""
    for relative in sorted(path.relative_to(tree) for path in tree.rglob("*")) if files is None else sorted(files):
        file = tree / relative
        if file.is_file() and not dropped(file):
            yield _entry(file, relative.as_posix(), under)


def _entry(file: Path, relative: str, under: str) -> Entry:
    if relative.startswith("bin/"):
        return bytes_entry(f"{under}/{relative}", _portable(file.read_bytes()), executable=True)
    if file.name == "RECORD" and file.parent.suffix == ".dist-info":
        return bytes_entry(f"{under}/{relative}", _record(file))
    return file_entry(f"{under}/{relative}", file, executable=bool(file.stat().st_mode & 0o100))


def _portable(script: bytes) -> bytes:
    """That script, begun by whatever Python is on the path, when it is one of Python."""
    if script.startswith(_BY_SHELL):
        _, _, *behind = script.split(b"\n", 3)
        return _PORTABLE + behind[1] if len(behind) == 2 and behind[0] == b"' '''" else script
    first, newline, rest = script.partition(b"\n")
    return _PORTABLE + rest if newline and first.startswith(b"#!") and b"python" in first else script


def dropped(path: Path) -> bool:
    """Whether no layer gets it: it is made at run time, or tells of the installer."""
    return path.suffix == ".pyc" or "__pycache__" in path.parts or path.name in _DROPPED_NAMES


def _record(file: Path) -> bytes:
    """The list of installed files, without those that were dropped and without the digests of rewritten scripts."""
    kept = []
    for line in file.read_text().splitlines():
        path = line.split(",")[0].strip('"')
        if not dropped(Path(path)):
            kept.append(f"{path},," if "bin/" in path.split(".dist-info")[0] else line)
    return "".join(f"{line}\n" for line in sorted(kept)).encode()
