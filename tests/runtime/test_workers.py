"""Threads for drivers: as many as are needed, none woken in vain, nothing lost."""

import asyncio
import random
import threading
import time

import pytest

from runtime.slipway_server.work.workers import Workers


async def test_calls_that_wait_for_each_other_all_run() -> None:
    together = threading.Barrier(8)
    workers = Workers(8)
    async with asyncio.timeout(10):
        places = await asyncio.gather(*(workers.submit(together.wait) for _ in range(8)))
    assert sorted(places) == list(range(8))


async def test_never_more_run_than_there_are_threads() -> None:
    workers, busy, peak = Workers(3), 0, 0
    lock = threading.Lock()

    def call() -> None:
        nonlocal busy, peak
        with lock:
            busy += 1
            peak = max(peak, busy)
        time.sleep(0.005)
        with lock:
            busy -= 1

    await asyncio.gather(*(workers.submit(call) for _ in range(30)))
    assert peak == 3


async def test_quick_calls_of_one_turn_need_one_thread() -> None:
    workers = Workers(10)
    names = await asyncio.gather(*(workers.submit(lambda: threading.current_thread().name) for _ in range(10)))
    assert len(set(names)) < 10


async def test_a_call_that_takes_long_holds_up_no_other() -> None:
    workers, go_on = Workers(2), threading.Event()
    long = workers.submit(go_on.wait)
    async with asyncio.timeout(10):
        assert [await workers.submit(lambda number=number: number) for number in range(50)] == list(range(50))
        go_on.set()
        assert await long


async def test_whenever_calls_come_all_are_answered() -> None:
    workers, chance = Workers(4), random.Random(6)
    got = list[int]()

    async def caller(number: int) -> None:
        for turn in range(20):
            await asyncio.sleep(chance.choice([0, 0, 0.0001, 0.001]))
            pause = chance.choice([0, 0, 0.0005])
            got.append(await workers.submit(lambda pause=pause, turn=turn: time.sleep(pause) or number * 20 + turn))

    async with asyncio.timeout(20):
        await asyncio.gather(*(caller(number) for number in range(50)))
    assert sorted(got) == list(range(1000))


async def test_the_answer_of_a_call_that_nobody_waits_for_is_dropped() -> None:
    workers = Workers(1)
    work = workers.submit(lambda: 1)
    work.cancel()
    assert await workers.submit(lambda: 2) == 2
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_after_their_end_other_threads_start() -> None:
    workers = Workers(2)
    await asyncio.gather(*(workers.submit(lambda: time.sleep(0.01)) for _ in range(2)))
    assert "driver-1" in workers.stacks()
    workers.end()
    assert workers.stacks() == ""
    assert await workers.submit(lambda: 3) == 3


async def test_their_stacks_say_where_they_are() -> None:
    workers, go_on = Workers(1), threading.Event()

    def waits_to_go_on() -> bool:
        asyncio.run_coroutine_threadsafe(arrived.put(True), loop)
        return go_on.wait()

    loop, arrived = asyncio.get_running_loop(), asyncio.Queue[bool]()
    work = workers.submit(waits_to_go_on)
    async with asyncio.timeout(10):
        await arrived.get()
    assert "waits_to_go_on" in workers.stacks()
    go_on.set()
    assert await work
