"""A `run` that never ends: its caller gets a 504, and the replica ends, for another to take its place."""

import asyncio

import pytest

from tests.runtime.replicas import Start
from tests.waiting import until

THREAD = """
import time
def run(body):
    while body == "hang":
        time.sleep(0.01)
    time.sleep(body == "work" and 2.5)
    return body
"""
TASK = """
import asyncio
async def run(body):
    while body == "hang":
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            pass
    await asyncio.sleep(body == "work" and 2.5)
    return body
"""


@pytest.mark.parametrize("source", [THREAD, TASK], ids=["thread", "task"])
async def test_a_run_that_hangs_ends_the_replica_and_says_where(start: Start, source: str) -> None:
    replica = await start(source, request_timeout=1).ready()
    assert (await replica.score('"hang"')).status_code == 504
    assert (await replica.score('"quick"')).status_code == 200
    assert replica.ended() == 1
    (line,) = [line for line in replica.log if line.level == "CRITICAL"]
    assert "for more than 2 seconds" in line.message
    assert source is TASK or "time.sleep(0.01)" in line.message


async def test_what_is_under_way_when_a_replica_ends_for_another_request_is_answered(start: Start) -> None:
    replica = await start(THREAD.replace("2.5", "0.5"), request_timeout=1).ready()
    hanging = asyncio.create_task(replica.score('"hang"'))

    async def scored_until_it_stops() -> bool:
        answer = await replica.score('"work"')
        assert answer.status_code == 200
        return answer.headers["connection"] == "close"

    await until(scored_until_it_stops)
    assert (await hanging).status_code == 504
    assert replica.ended() == 1


async def test_work_that_is_late_but_ends_ends_no_replica(start: Start) -> None:
    replica = await start(THREAD.replace("2.5", "1.5"), request_timeout=1).ready()
    assert (await replica.score('"work"')).status_code == 504
    assert (await replica.score('"work"')).status_code == 504
    await asyncio.gather(*(replica.score('"work"') for _ in range(2)))
    assert (await replica.client.get("/healthz/live")).text == "Alive"
    assert replica.process.poll() is None


@pytest.mark.parametrize(
    "source",
    [
        "import time\nasync def run(body):\n    time.sleep(60)\n",
        "import ctypes\ndef run(body):\n    ctypes.PyDLL(None).sleep(60)\n",
    ],
    ids=["the event loop is blocked", "the interpreter is blocked"],
)
async def test_a_driver_that_lets_nothing_else_run_ends_too_with_its_stack(start: Start, source: str) -> None:
    replica = await start(source, request_timeout=1).ready()
    scoring = asyncio.create_task(replica.score({}))
    assert await asyncio.to_thread(replica.ended) == 1
    assert "score.py" in replica.errors
    assert (await asyncio.gather(scoring, return_exceptions=True))[0]
