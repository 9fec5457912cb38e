"""Takes what a process prints out of its pipe, in a thread: nobody else waits, however much it is, however slow the disk."""

import asyncio
import os
import select
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Protocol

_AT_ONCE = 64 * 1024
_LAST_WORDS = 0.5  # seconds that are waited for the end of what a process has printed, once it has ended


class Sink(Protocol):
    """Takes what was printed, and never fails."""

    def write(self, data: bytes) -> None:
        """Keep that."""

    def close(self) -> None:
        """There is no more."""


class Drain:
    """A pipe, and the thread that empties it into a sink until no process can write to it any more."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._reader, self._writer = os.pipe()
        self._wake, self._waker = os.pipe()
        self._emptied: Future[None] = Future()

    @contextmanager
    def writer(self) -> Iterator[int]:
        """The end for a process to write to. It is emptied from the context's end on, when this process holds it no more."""
        try:
            yield self._writer
        finally:
            os.close(self._writer)
            threading.Thread(target=self._run, name="drain", daemon=True).start()

    async def emptied(self) -> None:
        """Wait until all that was printed is kept, but not for long: who printed may have left others that hold on."""
        await asyncio.wait({asyncio.wrap_future(self._emptied)}, timeout=_LAST_WORDS)

    async def end(self) -> None:
        """Take what is there, and then nothing more: whoever prints still finds that nobody listens."""
        try:
            await self.emptied()
        finally:
            os.close(self._waker)
        await asyncio.shield(asyncio.wrap_future(self._emptied))

    def _run(self) -> None:
        try:
            self._empty()
        finally:
            os.close(self._reader)
            os.close(self._wake)
            self._sink.close()
            self._emptied.set_result(None)

    def _empty(self) -> None:
        ready = select.poll()
        ready.register(self._reader, select.POLLIN)
        ready.register(self._wake, select.POLLIN)
        while self._wake not in dict(ready.poll()):
            printed = os.read(self._reader, _AT_ONCE)
            if not printed:
                return
            self._sink.write(printed)
