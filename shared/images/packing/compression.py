"""Compressing layers, block by block and on all cores, to the same bytes whatever there are. Sources: RFC 1952 and 8878.

A gzip file may consist of several members and a zstd file of several frames; a block becomes one of them. That loses
half a percent of size, and no block waits for the one before it.
"""

import os
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import version
from typing import Protocol

import deflate
import zstandard
from isal import igzip

BLOCK = 1024 * 1024
_HARDLY_SHRUNK = 0.85
_AHEAD = 2
"""Blocks that are being compressed or wait for their turn, for each worker."""


class Compression(StrEnum):
    """How layers are compressed."""

    GZIP = "gzip"
    ZSTD = "zstd"


class Sink(Protocol):
    """Takes bytes, in order."""

    def write(self, data: bytes, /) -> object:
        """Take these."""


@dataclass(frozen=True)
class Method:
    """A compression: the media type of its layers, what its results depend on, and what it does to one block."""

    media_type: str
    format: str
    compress: Callable[[bytes], bytes]


def _gzipped(block: bytes) -> bytes:
    """By the fastest compressor there is; what shrinks by that (code and text, not weights) again by a better one."""
    fast = igzip.compress(block, 2, mtime=0)
    return fast if len(fast) > len(block) * _HARDLY_SHRUNK else bytes(deflate.gzip_compress(block, 3))


def _zstandard(block: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(block)


METHODS: Mapping[Compression, Method] = {
    Compression.GZIP: Method(
        "application/vnd.oci.image.layer.v1.tar+gzip",
        f"gzip-isal-{version('isal')}-2-deflate-{version('deflate')}-3",
        _gzipped,
    ),
    Compression.ZSTD: Method("application/vnd.oci.image.layer.v1.tar+zstd", f"zstd-{version('zstandard')}-3", _zstandard),
}


class BlockCompressor:
    """Compresses what is written to it, and writes that on in order."""

    def __init__(self, target: Sink, method: Method) -> None:
        self._target = target
        self._compress = method.compress
        self._pending = bytearray()
        self._ahead: deque[Future[bytes]] = deque()

    def write(self, data: bytes) -> int:
        """Take the next bytes."""
        self._pending += data
        while len(self._pending) >= BLOCK:
            self._submit(bytes(self._pending[:BLOCK]))
            del self._pending[:BLOCK]
        return len(data)

    def close(self) -> None:
        """Write all that is left."""
        if self._pending:
            self._submit(bytes(self._pending))
            self._pending.clear()
        while self._ahead:
            self._target.write(self._ahead.popleft().result())

    def _submit(self, block: bytes) -> None:
        if len(self._ahead) >= _AHEAD * _cores():
            self._target.write(self._ahead.popleft().result())
        self._ahead.append(_workers().submit(self._compress, block))


@cache
def packers() -> ThreadPoolExecutor:
    """The threads that pack layers, one a core: not those that the event loop's own work waits for."""
    return ThreadPoolExecutor(_cores(), thread_name_prefix="pack")


@cache
def _cores() -> int:
    return os.cpu_count() or 1


@cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), thread_name_prefix="compress")
