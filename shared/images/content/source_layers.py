"""The layers of models and assets: each source fetched, hashed, kept, unpacked, packed and sent in one pass.

What was fetched is kept under its digest, so that a rebuild needs no URL that still works. What the URL holds at the
time of a rebuild is compared with it nevertheless, as long as it can be reached.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import IO, Any, cast

from shared.domain.building import Content
from shared.domain.errors import BuildFailed, foreign
from shared.domain.ports import BuildLog, Keep
from shared.images.content.archives import archive_kind, members
from shared.images.content.fetch import Fetcher
from shared.images.content.guard import Limits, safe_path
from shared.images.content.member import MemberContent
from shared.images.content.one_folder import OneFolder, Source
from shared.images.packing.assembly import Assembly, Made, noted, summary
from shared.images.packing.cache import layer_key
from shared.images.packing.layers import APP, SERVICE_USER, Entry
from shared.images.packing.pipes import Inlet, together

_START = 512
_PIECE = 1024 * 1024


def kept_name(digest: str) -> str:
    """What content of that digest is kept under."""
    return f"contents/{digest.replace(':', '/')}"


@dataclass(frozen=True)
class SourceLayer:
    """The layer of one source, and what it was made of."""

    made: Made
    content: Content


@dataclass(frozen=True)
class _Stream:
    """Content on its way: how large it is, if that is known; its chunks; and its digest, when they have ended."""

    size: int | None
    chunks: AsyncIterator[bytes]
    digest: Callable[[], str]
    etag: str = ""
    kept: bool = False


class SourceLayers:
    """Makes them."""

    def __init__(self, fetcher: Fetcher, keep: Keep, limits: Limits) -> None:
        self._fetcher = fetcher
        self._keep = keep
        self._limits = limits

    async def layer(self, one: Source, known: Content | None, assembly: Assembly) -> SourceLayer:
        """The layer of that source. Raises BuildFailed when it is not what is known of it, or cannot be had at all."""
        if known is not None:
            found = await assembly.found(_key(one, known.digest, assembly), one.name)
            if found is not None:
                await self._check_unchanged(one, known, assembly.log)
                return _told(one, SourceLayer(found, known), assembly.log)
        async with AsyncExitStack() as stack:
            stream = await self._opened(one, known, assembly.log, stack)
            made = await self._packed(one, stream, known, assembly)
        key = _key(one, stream.digest(), assembly)
        made = await assembly.known_as(key, made)
        return _told(one, SourceLayer(made, known or Content(stream.digest(), stream.etag)), assembly.log)

    async def _check_unchanged(self, one: Source, known: Content, log: BuildLog) -> None:
        """What cannot be reached cannot be compared: what is known of it counts."""
        try:
            async with self._fetcher.opened(one.url, known.etag) as transfer:
                if not transfer.unchanged:
                    async for _ in transfer.chunks():
                        pass
                    _refuse_other_content(one, transfer.digest, known)
        except BuildFailed as error:
            _allow_unreachable(one, error, log)

    async def _opened(self, one: Source, known: Content | None, log: BuildLog, stack: AsyncExitStack) -> _Stream:
        """The source's content: from its URL, or what was kept of it when that is the same or cannot be had."""
        size = await self._keep.size(kept_name(known.digest)) if known else None
        try:
            etag = known.etag if known and size is not None else ""
            transfer = await stack.enter_async_context(self._fetcher.opened(one.url, etag))
            if not transfer.unchanged:
                return _Stream(transfer.size, transfer.chunks(), lambda: transfer.digest, transfer.etag)
        except BuildFailed as error:
            if size is None:
                raise
            _allow_unreachable(one, error, log)
        digest = known.digest if known else ""
        return _Stream(size, self._keep.read(kept_name(digest)), lambda: digest, kept=True)

    async def _packed(self, one: Source, stream: _Stream, known: Content | None, assembly: Assembly) -> Made:
        """The source's layer, sent. What can only be packed when all of it has come is packed from the keep."""
        start = await _start_of(stream.chunks)
        kind = archive_kind(start, one.name) if one.unpack else ""
        coming = replace(stream, chunks=_chained(start, stream.chunks))
        if kind == "zip" or (not kind and stream.size is None):
            await self._feed(one, coming, known, None)
            file = await self._kept_file(stream.digest())
            return await assembly.sent(one.name, lambda: self._entries(one, kind, file, file.size))
        inlet, size = Inlet(), stream.size or 0
        sending = assembly.sent(one.name, lambda: _read_to_its_end(self._entries(one, kind, inlet, size), inlet))
        try:
            made, _ = await together(sending, self._feed(one, coming, known, inlet))
        finally:
            inlet.give_up()
        return made

    async def _feed(self, one: Source, stream: _Stream, known: Content | None, inlet: Inlet | None) -> None:
        """Give the chunks to whoever packs them, and to the keep."""
        async with self._keep.incoming() as incoming:
            async for chunk in stream.chunks:
                if inlet is not None:
                    await inlet.feed(chunk)
                if not stream.kept:
                    await incoming.write(chunk)
            _refuse_other_content(one, stream.digest(), known)
            if inlet is not None:
                inlet.end()
            if not stream.kept:
                await incoming.keep_as(kept_name(stream.digest()))

    async def _kept_file(self, digest: str) -> "_KeptFile":
        name = kept_name(digest)
        return _KeptFile(self._keep, name, await self._keep.size(name) or 0)

    def _entries(self, one: Source, kind: str, content: io.RawIOBase, size: int) -> Iterator[Entry]:
        if not kind:
            path = safe_path(one.file_name, one.name, self._limits)
            whole = MemberContent(io.BufferedReader(content, _PIECE), size, one.name)
            yield Entry(f"{APP}/{path}", size, cast("IO[bytes]", whole), owner=SERVICE_USER)
            return
        folder = OneFolder()
        for member in members(content, kind, one.name, self._limits):
            folder.take(one.name, [noted(member.path, is_folder=member.content is None)])
            of_member = cast("IO[bytes] | None", member.content)
            yield Entry(f"{APP}/{member.path}", member.size, of_member, member.executable, SERVICE_USER)


class _KeptFile(io.RawIOBase):
    """Something kept, to be read in a thread from any place in it."""

    def __init__(self, keep: Keep, name: str, size: int) -> None:
        super().__init__()
        self._keep = keep
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._position = 0
        self.size = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        length = min(len(buffer), self.size - self._position)
        if length <= 0:
            return 0
        data = asyncio.run_coroutine_threadsafe(self._read(length), self._loop).result()
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    async def _read(self, length: int) -> bytes:
        return b"".join([chunk async for chunk in self._keep.read(self._name, self._position, length)])


def _told(one: Source, layer: SourceLayer, log: BuildLog) -> SourceLayer:
    files = sum(not path.endswith("/") for path in layer.made.paths)
    how = f"unpacked to {files} files" if one.unpack else f"as {one.file_name}"
    log.line(f"{one.name}: {foreign(one.url)} {how}, {layer.content.digest}: layer {summary(layer.made.layers)}")
    return layer


def _key(one: Source, digest: str, assembly: Assembly) -> str:
    how = "unpacked" if one.unpack else f"as {one.file_name}"
    return layer_key("source", assembly.format, digest, how)


def _refuse_other_content(one: Source, digest: str, known: Content | None) -> None:
    if known is not None and known.digest != digest:
        raise BuildFailed(
            f"{one.name}: {foreign(one.url)} holds {digest} now, and held {known.digest} when it was first fetched. "
            "Register it again, under a URL whose content stays.",
            code="SourceChanged",
        )


def _allow_unreachable(one: Source, error: BuildFailed, log: BuildLog) -> None:
    """Raises the error again unless it only says that the source cannot be had."""
    if error.code != "SourceUnreachable":
        raise error
    log.line(f"{one.name}: {error.message} What was kept of it is used.")


async def _start_of(chunks: AsyncIterator[bytes]) -> bytes:
    """As much as is needed to tell what it is; all, when there is less."""
    start = b""
    async for chunk in chunks:
        start += chunk
        if len(start) >= _START:
            break
    return start


async def _chained(start: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if start:
        yield start
    async for chunk in rest:
        yield chunk


def _read_to_its_end(entries: Iterator[Entry], inlet: Inlet) -> Iterator[Entry]:
    """An archive may end before its file does, and whoever feeds it waits until all is read."""
    yield from entries
    while inlet.read(_PIECE):
        pass
