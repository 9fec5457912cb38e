"""One image's layers on their way to where it goes: found there, or made and sent as they are made."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from shared.domain.images import Layer
from shared.domain.ports import BuildLog
from shared.images.packing.cache import LayerCache
from shared.images.packing.compression import Compression, packers
from shared.images.packing.layers import Entry, layer_format, write_layer
from shared.images.packing.pipes import Outlet, together
from shared.images.targets import Target

_SPOOL = 8 * 1024 * 1024
"""Layers up to this size are looked for before they are sent; larger ones are sent while they are made."""
NO_CACHE = "noCache was asked for"
NOT_KNOWN = "nothing is known under its key"
_GONE = "it is not where images go any more"


@dataclass(frozen=True)
class Made:
    """Layers, and the paths of the files in them; of folders with nothing in them, ending in `/`, too."""

    layers: tuple[Layer, ...]
    paths: tuple[str, ...] = ()


class Assembly:
    """What all layers of one image share: where they go, what is known of them, and how they are compressed."""

    def __init__(
        self, target: Target, cache: LayerCache, log: BuildLog, compression: Compression, *, no_cache: bool
    ) -> None:
        self.target = target
        self.log = log
        self.format = layer_format(compression)
        self._cache = cache
        self._compression = compression
        self._no_cache = no_cache
        self._why: dict[str, str] = {}

    async def found(self, key: str, title: str | None = None) -> Made | None:
        """What was made before under that key, if it is, or can be had, where the image goes; called `title` now."""
        record = None if self._no_cache else await self._cache.record(key)
        if record is None:
            self._why[key] = NO_CACHE if self._no_cache else NOT_KNOWN
            return None
        there = await asyncio.gather(*(self.target.borrow(layer.digest, record.place) for layer in record.layers))
        if not all(there):
            self._why[key] = _GONE
            return None
        return Made(
            tuple(layer.but(title=title or layer.title, cached=True, why_new=None) for layer in record.layers), record.paths
        )

    async def made(self, key: str, title: str, entries: Callable[[], Iterable[Entry]]) -> Made:
        """The layer of those entries, made, sent and known under that key from now on. Entries are read in a thread."""
        return await self.known_as(key, await self.sent(title, entries))

    async def sent(self, title: str, entries: Callable[[], Iterable[Entry]]) -> Made:
        """The layer of those entries, made and sent. Entries are read in a thread."""
        outlet, paths = Outlet(), list[str]()
        layer: asyncio.Future[Layer] = asyncio.get_running_loop().create_future()

        def write() -> Layer:
            return write_layer(_noted(entries(), paths), outlet, title, self._compression)

        async def fill() -> None:
            try:
                layer.set_result(await asyncio.get_running_loop().run_in_executor(packers(), write))
            finally:
                outlet.end()

        try:
            await together(fill(), self._send(outlet, layer))
        finally:
            outlet.give_up()
        return Made((layer.result(),), tuple(paths))

    async def known_as(self, key: str, made: Made) -> Made:
        """The same layers, known under that key from now on."""
        why = self._why.get(key, NO_CACHE if self._no_cache else NOT_KNOWN)
        layers = tuple(layer if layer.key else layer.but(key=key, why_new=why) for layer in made.layers)
        await self._cache.remember(key, layers, made.paths, self.target.place)
        return Made(layers, made.paths)

    async def _send(self, outlet: Outlet, layer: asyncio.Future[Layer]) -> None:
        chunks, spool = outlet.chunks(), bytearray()
        async for chunk in chunks:
            spool += chunk
            if len(spool) > _SPOOL:
                await self.target.put_stream(_chained(spool, chunks), layer)
                return
        await layer  # not before it is whole
        await self.target.put_bytes(bytes(spool))


async def _chained(start: bytearray, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield bytes(start)
    start.clear()
    async for chunk in rest:
        yield chunk


def _noted(entries: Iterable[Entry], paths: list[str]) -> Iterator[Entry]:
    for entry in entries:
        paths.append(noted(entry.path, is_folder=entry.is_folder))
        yield entry


def noted(path: str, *, is_folder: bool) -> str:
    """How the path of a folder is told from a file's."""
    return f"{path}/" if is_folder else path


def summary(layers: Sequence[Layer]) -> str:
    """What a log says of some layers."""
    new = [layer for layer in layers if not layer.cached]
    why = ", ".join(dict.fromkeys(layer.why_new for layer in new if layer.why_new))
    came = [f"{len(layers) - len(new)} from cache"] if len(new) < len(layers) else []
    came += [f"{len(new)} new, {size_text(sum(layer.size for layer in new))}, since {why}"] if new else []
    return "; ".join(came)


def size_text(size: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
