"""Installed packages as entries of a layer, freed of all that tells which machine, when and by what they were installed."""

import re
from collections.abc import Iterator
from pathlib import Path

from shared.images.layers import Entry, bytes_entry, file_entry

_DROPPED_NAMES = frozenset({".lock", "uv_build.json", "direct_url.json", "uv_cache.json"})
_SHEBANG = re.compile(rb"\A#!.*python[0-9.]*[^\n]*\n|\A#!/bin/sh\n'''exec' .*\n' '''\n")
_PORTABLE = b"#!/usr/bin/env python3\n"


def installed_entries(tree: Path, under: str) -> Iterator[Entry]:
    """The files below `tree`, sorted, as entries below `under`."""
    for file in sorted(path for path in tree.rglob("*") if path.is_file() and not _dropped(path)):
        relative = file.relative_to(tree).as_posix()
        executable = bool(file.stat().st_mode & 0o100)
        if relative.startswith("bin/"):
            script = _SHEBANG.sub(_PORTABLE, file.read_bytes(), count=1)
            entry = bytes_entry(f"{under}/{relative}", script)
            yield Entry(entry.path, entry.size, entry.content, executable=True)
        elif file.name == "RECORD" and file.parent.suffix == ".dist-info":
            yield bytes_entry(f"{under}/{relative}", _record(file))
        else:
            yield file_entry(f"{under}/{relative}", file, executable=executable)


def _dropped(path: Path) -> bool:
    return path.suffix == ".pyc" or "__pycache__" in path.parts or path.name in _DROPPED_NAMES


def _record(file: Path) -> bytes:
    """The list of installed files, without those that were dropped and without the digests of rewritten scripts."""
    kept = []
    for line in file.read_text().splitlines():
        path = line.split(",")[0].strip('"')
        if not _dropped(Path(path)):
            kept.append(f"{path},," if "bin/" in path.split(".dist-info")[0] else line)
    return "".join(f"{line}\n" for line in sorted(kept)).encode()
