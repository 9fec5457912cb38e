"""How many requests are worked on at once, how many wait, and for how long (client-facts.md, 13 and 28)."""

import asyncio
import itertools

import httpx
import pytest

from tests.runtime.replicas import Replica, Start
from tests.waiting import until

GATED = """
import asyncio, os, threading, time
lock, busy, peak = threading.Lock(), 0, 0
def enter():
    global busy, peak
    with lock:
        busy += 1
        peak = max(peak, busy)
        open(f"busy-{busy}", "w").close()
def leave():
    global busy
    with lock:
        busy -= 1
"""
SYNCHRONOUS = """
def run(body):
    enter()
    while not os.path.exists("go"):
        time.sleep(0.01)
    leave()
    return peak
"""
ASYNCHRONOUS = """
async def run(body):
    enter()
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)
    leave()
    return peak
"""
DRIVERS = pytest.mark.parametrize("driver", [GATED + SYNCHRONOUS, GATED + ASYNCHRONOUS], ids=["threads", "tasks"])


async def busy(replica: Replica, count: int) -> None:
    """Wait until so many requests are being worked on."""

    async def reached() -> bool:
        return (replica.folder / f"busy-{count}").exists()

    await until(reached)


@DRIVERS
async def test_what_exceeds_the_slots_and_the_line_is_refused_at_once(start: Start, driver: str) -> None:
    replica = await start(driver, max_concurrency=2, max_waiting=3).ready()
    scoring = [asyncio.create_task(replica.score({})) for _ in range(12)]
    refused = [await first for first in itertools.islice(asyncio.as_completed(scoring, timeout=20), 7)]
    (replica.folder / "go").touch()
    answers = await asyncio.gather(*scoring)
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in refused} == {(503, "1")}
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [503] * 7
    assert max(answer.json() for answer in answers if answer.status_code == 200) == 2


@DRIVERS
async def test_a_client_that_goes_away_frees_its_place_in_the_line(start: Start, driver: str) -> None:
    replica = await start(driver, max_concurrency=1, max_waiting=1).ready()
    working = asyncio.create_task(replica.score({}))
    await busy(replica, 1)
    with pytest.raises(httpx.ReadTimeout):
        await replica.score({}, timeout=0.2)
    waiting = asyncio.create_task(replica.score({}))
    assert not (await asyncio.wait({waiting}, timeout=0.3))[0]
    (replica.folder / "go").touch()
    assert [(await working).status_code, (await waiting).status_code] == [200, 200]


async def test_work_that_is_done_at_once_fills_no_slot(start: Start) -> None:
    replica = await start("async def run(body):\n    return body\n", max_concurrency=1, max_waiting=0).ready()
    answers = await asyncio.gather(*(replica.score(number) for number in range(50)))
    assert [answer.json() for answer in answers] == list(range(50))


async def test_a_hung_thread_keeps_its_slot_after_its_client_has_its_504(start: Start) -> None:
    replica = await start(GATED + SYNCHRONOUS, max_concurrency=1, max_waiting=0, request_timeout=1).ready()
    late = await replica.score({})
    assert (late.status_code, late.json()["status_code"]) == (504, 504)
    assert (await replica.score({})).status_code == 503
    (replica.folder / "go").touch()

    async def free() -> bool:
        return (await replica.score({})).status_code == 200

    await until(free)


async def test_a_task_that_is_late_is_cancelled_and_frees_its_slot(start: Start) -> None:
    replica = await start(GATED + ASYNCHRONOUS, max_concurrency=1, max_waiting=0, request_timeout=1).ready()
    assert (await replica.score({}, headers={"x-request-id": "late"})).status_code == 504
    (replica.folder / "go").touch()

    async def free() -> bool:
        return (await replica.score({})).status_code == 200

    await until(free)
    assert await replica.logged("late", "CancelledError")


async def test_who_waits_too_long_for_a_slot_gets_a_504(start: Start) -> None:
    replica = await start(GATED + SYNCHRONOUS, max_concurrency=1, max_waiting=1, request_timeout=1).ready()
    answers = await asyncio.gather(replica.score({}), replica.score({}))
    assert [answer.status_code for answer in answers] == [504, 504]


async def test_a_slow_client_holds_no_slot(start: Start) -> None:
    replica = await start("def run(body):\n    return body\n", max_concurrency=1, max_waiting=0).ready()
    _, slow = await asyncio.open_connection("127.0.0.1", replica.port)
    slow.write(b"POST /score HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n[1")
    await slow.drain()
    assert (await replica.score([1])).status_code == 200
    slow.close()
    await slow.wait_closed()
