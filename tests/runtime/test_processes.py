"""Several processes of one replica: they share a port, the slots and the memory of the driver."""

import asyncio
import contextlib
import os
import signal
from collections import Counter

import httpx

from tests.runtime.replicas import Replica, Start
from tests.runtime.test_metrics import told
from tests.waiting import until

WHO = """
import os, time
loads = []
def init():
    loads.append(os.getpid())
def run(body):
    while body == "wait" and not os.path.exists("go"):
        time.sleep(0.01)
    if body == "crash":
        os.kill(os.getpid(), 9)
    while body == "hang":
        time.sleep(0.01)
    return [os.getpid(), loads]
"""


async def answers(replica: Replica, count: int) -> list[tuple[int, list[int]]]:
    """Who answered, each over a connection of its own, and where the driver was loaded."""
    got = await asyncio.gather(*(replica.score("1", headers={"connection": "close"}) for _ in range(count)))
    return [answer.json() for answer in got]


async def test_the_driver_is_loaded_once_and_all_processes_answer(start: Start) -> None:
    replica = await start(WHO, processes=3, max_concurrency=30, max_waiting=60).ready()
    by: Counter[int] = Counter()

    async def all_have() -> bool:
        for process, loads in await answers(replica, 30):
            assert loads == [replica.process.pid] != [process]
            by[process] += 1
        return len(by) == 3

    await until(all_have)
    assert (await told(replica))["slipway_requests_total/200"] == by.total()


async def test_the_slots_are_divided_and_no_process_is_without(start: Start) -> None:
    replica = await start(WHO, processes=4, max_concurrency=3, max_waiting=1).ready()

    async def all_tell() -> bool:
        return (await told(replica))["slipway_slots"] == 3

    await until(all_tell)
    assert len({process for _ in range(30) for process, _ in await answers(replica, 1)}) <= 3


async def test_a_process_that_dies_is_replaced(start: Start) -> None:
    replica = await start(WHO, processes=2).ready()
    before = {process for process, _ in await answers(replica, 20)}
    crashed = await asyncio.gather(replica.score('"crash"'), return_exceptions=True)
    assert isinstance(crashed[0], Exception)

    async def another_answers() -> bool:
        return not {process for process, _ in await answers(replica, 20)} <= before

    await until(another_answers)
    await replica.says("was ended by signal SIGKILL; another takes its place")


async def test_a_process_that_hangs_is_replaced_and_the_replica_goes_on(start: Start) -> None:
    replica = await start(WHO, processes=2, request_timeout=1).ready()
    assert (await replica.score('"hang"')).status_code == 504

    async def replaced() -> bool:
        return any("exited with code 1; another takes its place" in line.message for line in replica.log)

    await until(replaced)
    await until(replica.listens)
    assert replica.process.poll() is None


async def test_on_sigterm_all_finish_what_they_do_and_end(start: Start) -> None:
    replica = await start(WHO, processes=2).ready()
    processes = {process for process, _ in await answers(replica, 20)}
    waiting = [asyncio.create_task(replica.score('"wait"')) for _ in range(6)]

    async def busy() -> bool:
        metrics = await told(replica)
        return metrics["slipway_slots_busy"] + metrics["slipway_slots_waiting"] == 6

    async def closed() -> bool:
        return not await replica.listens()

    await until(busy)
    replica.stop()
    await until(closed)
    (replica.folder / "go").touch()
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
    assert await asyncio.to_thread(replica.ended) == 0
    assert not [process for process in processes if _runs(process)]


async def test_none_outlives_the_one_that_forked_them(start: Start) -> None:
    replica = await start(WHO, processes=2).ready()
    replica.process.send_signal(signal.SIGKILL)

    async def none_is_there() -> bool:
        return not await replica.listens()

    await until(none_is_there)
    await asyncio.to_thread(replica.ended)


async def test_a_driver_that_does_not_start_ends_the_replica(start: Start) -> None:
    replica = start("def init():\n    raise ValueError('no model here')\ndef run(body):\n    pass\n", processes=2)
    assert replica.ended() == 1
    assert replica.errors.splitlines()[-1] == "ValueError: no model here"


async def test_a_replica_can_be_stopped_while_it_loads(start: Start) -> None:
    replica = start("import time\ndef init():\n    time.sleep(60)\ndef run(body):\n    return body\n", processes=2)
    await until(replica.listens)
    assert await replica.health() == 502
    replica.stop()
    assert replica.ended() == 0


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def test_who_comes_while_the_processes_part_is_answered(start: Start) -> None:
    for _ in range(3):
        replica = start("import time\ndef init(): time.sleep(0.15)\ndef run(body): return body", processes=2)
        told = asyncio.create_task(replica.ready())

        async def calls(replica: Replica, told: asyncio.Task[Replica]) -> int:
            count = 0
            while not told.done() or count < 50:
                with contextlib.suppress(httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError):
                    await replica.client.get("/", headers={"connection": "close"}, timeout=5)
                count += 1
            return count

        assert min(await asyncio.gather(*(calls(replica, told) for _ in range(4)))) >= 50
