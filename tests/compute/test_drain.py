"""What a process prints is taken out of its pipe in a thread."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Event

from local.compute.drain import Drain


class Kept:
    """Keeps all in memory."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def running(sink: Kept, program: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Drain]]:
    drain = Drain(sink)
    with drain.writer() as output:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=output, process_group=0)
    yield process, drain


async def test_all_that_was_printed_is_kept_when_the_process_has_ended() -> None:
    sink = Kept()
    async with running(sink, "print('x' * 1_000_000)") as (process, drain):
        await process.wait()
        await drain.emptied()
        await drain.end()
    assert sink.data == b"x" * 1_000_000 + b"\n"
    assert sink.closed


async def test_what_a_process_left_behind_does_not_keep_the_drain() -> None:
    sink = Kept()
    left = "import os, time\nif os.fork(): os._exit(0)\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
    async with running(sink, left) as (process, drain):
        await process.wait()
        began = time.monotonic()
        await drain.end()
        assert time.monotonic() - began < 5
    assert sink.closed
    os.killpg(process.pid, 9)


async def test_a_sink_that_is_stuck_holds_nobody_up() -> None:
    class Stuck(Kept):
        def __init__(self) -> None:
            super().__init__()
            self.asked, self.free = Event(), Event()

        def write(self, data: bytes) -> None:
            self.asked.set()
            self.free.wait()
            super().write(data)

    sink = Stuck()
    async with running(sink, "print('x' * 1_000_000)") as (process, drain):
        await asyncio.to_thread(sink.asked.wait)
        assert process.returncode is None, "it waits, as whoever prints more than a pipe holds"
        sink.free.set()
        await process.wait()
        await drain.end()
    assert len(sink.data) == 1_000_001
