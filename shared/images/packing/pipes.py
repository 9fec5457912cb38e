"""Between coroutines, which fetch and send, and threads, which unpack and pack: bounded, and broken from either side."""

import asyncio
import io
from collections.abc import AsyncIterator, Coroutine, Iterable
from concurrent.futures import CancelledError, Future
from contextlib import asynccontextmanager
from typing import Any

_AHEAD = 4
"""Chunks that wait to be taken."""


class PipeBroken(Exception):
    """The other side has given up; its own error says why."""


class _Pipe:
    """A queue with one end in the event loop that made it, and one in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(_AHEAD)
        self._loop = asyncio.get_running_loop()
        self._waiting: Future[Any] | None = None
        self._broken = False

    def end(self) -> None:
        """From the loop: nothing comes behind what was given."""
        self._chunks.shutdown()

    def give_up(self) -> None:
        """From the loop: whatever the thread waits for, it waits for nothing."""
        self._broken = True
        self._chunks.shutdown(immediate=True)
        if self._waiting is not None:
            self._waiting.cancel()

    def _wait_for[T](self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what only the loop can do, in the thread."""
        waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._waiting = waiting
        try:
            return waiting.result()
        except (CancelledError, asyncio.QueueShutDown):
            raise PipeBroken from None


class Inlet(_Pipe, io.RawIOBase):
    """Coroutines feed it, a thread reads it like a file."""

    def __init__(self) -> None:
        super().__init__()
        self._left = memoryview(b"")

    async def feed(self, chunk: bytes) -> None:
        """Give the next bytes; waits while enough are there. Raises PipeBroken."""
        try:
            await self._chunks.put(chunk)
        except asyncio.QueueShutDown:
            raise PipeBroken from None

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """The next bytes, as many as have come; waits for some. Raises PipeBroken."""
        if not self._left:
            self._left = memoryview(self._next())
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count

    def _next(self) -> bytes:
        try:
            return self._wait_for(self._chunks.get())
        except PipeBroken:
            if self._broken:
                raise
            return b""


class Outlet(_Pipe):
    """A thread writes to it, coroutines take what was written."""

    def write(self, data: bytes, /) -> int:
        """Give the next bytes; waits while enough are there. Raises PipeBroken."""
        self._wait_for(self._chunks.put(data))
        return len(data)

    async def chunks(self) -> AsyncIterator[bytes]:
        """What was written, until it ends."""
        while True:
            try:
                yield await self._chunks.get()
            except asyncio.QueueShutDown:
                return


async def together[A, B](one: Coroutine[Any, Any, A], other: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Both results. The first error ends the other one, and is raised as it is."""
    tasks = asyncio.ensure_future(one), asyncio.ensure_future(other)
    async with _all_end(tasks):
        return await asyncio.gather(*tasks)


async def all_of[T](work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results, in order. The first error ends the others, and is raised as it is."""
    tasks = [asyncio.ensure_future(one) for one in work]
    async with _all_end(tasks):
        return await asyncio.gather(*tasks)


@asynccontextmanager
async def _all_end(tasks: Iterable[asyncio.Task[Any]]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
