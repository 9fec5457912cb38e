"""What can be known of a driver before anything is installed for it: that it is Python, and has a `run`.

It is content of others: a bounded piece of it is read, by a process of its own that is bounded, too. A driver that such a
process does not get through is let pass: the service will tell.
"""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from shared.domain.building import ImageSource
from shared.domain.errors import BuildFailed, foreign
from shared.domain.ports import BuildLog, Keep
from shared.images.content.fetch import Fetcher
from shared.images.content.one_folder import Source, driver_source
from shared.images.content.source_layers import kept_name
from shared.images.drivers import reading
from shared.images.packages.bounded import Bounds, Ran, run, told_to_installer

MOST_READ = 1024 * 1024
_SECONDS = 10.0
_BOUNDS = Bounds(memory=1024**3, file_size=1024**2, open_files=64, grace_seconds=5)
_ODD = {
    rb"\x1f\x8b|PK\x03\x04|BZh|7z\xbc\xaf|\xfd7zXZ": "It is an archive; the driver must be a Python file.",
    rb"\xff\xfe|\xfe\xff": "It is text in UTF-16; save it as UTF-8.",
    rb"(?i)\s{0,99}<(?:!doctype|html|\?xml)": "It is a web page or XML; the URL may lead to a sign-in instead of the file.",
    rb'\s{0,99}\{\s{0,99}"(?:cells|metadata|nbformat)"': "It is a notebook; export it as a Python file.",
}
"""What is taken for a driver now and then, by how it begins."""


class DriverCheck:
    """Looks at drivers for images whose Python is of that version."""

    def __init__(self, fetcher: Fetcher, keep: Keep, python: str) -> None:
        self._fetcher = fetcher
        self._keep = keep
        self._python = python

    async def check(self, source: ImageSource, log: BuildLog) -> None:
        """Raises BuildFailed, naming file and line, for a driver that cannot serve, and for one that cannot be had."""
        one = driver_source(source)
        content = await self._content(one, source)
        if content is None or len(content) > MOST_READ:
            log.line(f"{one.name}: not looked at; it cannot be had now, or holds more than {MOST_READ} bytes")
            return
        found = await asyncio.to_thread(_read, content)
        if found is None:
            log.line(f"{one.name}: not looked at; it takes more than {_SECONDS:.0f} s or {_BOUNDS.memory >> 20} MiB to read")
        elif "error" in found and self._is_newer():
            log.line(f"{one.name}: it is no Python {_own_version()}; whether it is Python {self._python} is not known here")
        elif found:
            raise _failure(f"{one.name} ({foreign(one.file_name, 80)})", found, _odd(content))

    async def _content(self, one: Source, source: ImageSource) -> bytes | None:
        """What was kept of it, or what its URL holds; not much more than is read. None when what is known cannot be had."""
        known = source.known.get(one.key)
        if known is not None and await self._keep.size(kept_name(known.digest)) is not None:
            return await _beginning(self._keep.read(kept_name(known.digest)))
        try:
            async with self._fetcher.opened(one.url) as transfer:
                return await _beginning(transfer.chunks())
        except BuildFailed as error:
            if known is None or error.code != "SourceUnreachable":
                raise
            return None

    def _is_newer(self) -> bool:
        """Whether the image's Python may take what this one does not."""
        return tuple(int(part) for part in self._python.split(".")[:2]) > sys.version_info[:2]


async def _beginning(chunks: AsyncIterator[bytes]) -> bytes:
    """All, or more than is read."""
    read = bytearray()
    async with aclosing(chunks) as coming:  # type: ignore[type-var]  # each of them is a generator
        async for chunk in coming:
            read += chunk
            if len(read) > MOST_READ:
                break
    return bytes(read)


def _read(content: bytes) -> dict[str, Any] | None:
    """What is wrong with it; None when that cannot be found out within bounds."""
    with TemporaryDirectory(prefix="slipway-", ignore_cleanup_errors=True) as folder:
        workspace = Path(folder).resolve()
        (workspace / "driver").write_bytes(content)
        command = [sys.executable, "-I", "-S", reading.__file__, str(workspace / "driver")]
        return _said(run(command, "", workspace, _SECONDS, _BOUNDS, environment=told_to_installer(workspace)))


def _said(ran: Ran) -> dict[str, Any] | None:
    if ran.code != 0:
        return None
    said: dict[str, Any] = json.loads(ran.output)
    return said


def _failure(driver: str, found: dict[str, Any], odd: str) -> BuildFailed:
    if "error" in found:
        where = f", line {found['line']}" if found["line"] else ""
        message = f"{driver}{where}: it is no Python {_own_version()}: {foreign(found['error'])}. {odd}"
        return BuildFailed(message.strip(), code="DriverSyntaxError")
    names = ", ".join(foreign(name, 80) for name in found["missing"])
    defines = f"its functions are {names}" if names else "it defines no function"
    inside = f" The run of line {found['line']} is inside {foreign(found['inside'], 80)}." if "inside" in found else ""
    message = f"{driver} has no function run at its top level; {defines}.{inside} {odd}"
    return BuildFailed(message.strip(), code="DriverWithoutRun")


def _odd(content: bytes) -> str:
    return next((what for sign, what in _ODD.items() if re.match(sign, content)), "")


def _own_version() -> str:
    return ".".join(map(str, sys.version_info[:2]))
