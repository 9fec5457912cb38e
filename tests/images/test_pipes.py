"""Pipes between coroutines and threads: in order, bounded, and never a thread that waits for ever."""

import asyncio
import io

import pytest

from shared.images.packing.pipes import Inlet, Outlet, PipeBroken, together

CHUNKS = [b"a" * 10, b"b", b"c" * 1000] * 20


async def test_a_thread_reads_all_that_a_coroutine_feeds():
    inlet = Inlet()

    async def feed() -> None:
        for chunk in CHUNKS:
            await inlet.feed(chunk)
        inlet.end()

    read, _ = await together(asyncio.to_thread(io.BufferedReader(inlet).read), feed())
    assert read == b"".join(CHUNKS)


async def test_a_coroutine_takes_all_that_a_thread_writes():
    outlet = Outlet()

    async def write() -> None:
        await asyncio.to_thread(lambda: [outlet.write(chunk) for chunk in CHUNKS])
        outlet.end()

    async def take() -> bytes:
        return b"".join([chunk async for chunk in outlet.chunks()])

    taken, _ = await together(take(), write())
    assert taken == b"".join(CHUNKS)


async def test_a_thread_that_reads_is_freed_when_the_feeder_gives_up():
    inlet = Inlet()
    reading = asyncio.create_task(asyncio.to_thread(inlet.read, 1))
    await asyncio.sleep(0)
    inlet.give_up()
    with pytest.raises(PipeBroken):
        await reading


async def test_a_thread_that_writes_is_freed_when_the_taker_gives_up():
    outlet = Outlet()
    taken = outlet.chunks()

    async def take_one() -> None:
        assert await anext(taken) == b"x"
        outlet.give_up()

    with pytest.raises(PipeBroken):
        await together(asyncio.to_thread(lambda: [outlet.write(b"x") for _ in range(100)]), take_one())


async def test_a_feeder_is_told_that_nobody_reads_any_more():
    inlet = Inlet()
    inlet.give_up()
    with pytest.raises(PipeBroken):
        await inlet.feed(b"x")


async def test_what_fails_first_is_raised_and_ends_the_other():
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await together(waits(), fails())
    assert ended.is_set()
