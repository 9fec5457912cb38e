"""How a replica starts, stops and fails."""

import asyncio
import os
import signal

import httpx
import pytest

from tests.runtime.replicas import RUNTIME, Replica, Start, free_port
from tests.waiting import until

SLOW = """
import os, time
def run(body):
    open("working", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)
    return "done"
"""


async def under_way(replica: Replica) -> asyncio.Task[httpx.Response]:
    """A request that the driver, `SLOW`, is at work on."""
    scoring = asyncio.create_task(replica.score({}))

    async def working() -> bool:
        return (replica.folder / "working").exists()

    await until(working)
    return scoring


@pytest.mark.parametrize(
    ("source", "last"),
    [
        (
            "def init():\n    raise ValueError('no model here')\ndef run(body):\n    return body\n",
            "ValueError: no model here",
        ),
        (
            "async def init():\n    raise ValueError('no model here')\ndef run(body):\n    return body\n",
            "ValueError: no model here",
        ),
        ("import nowhere_to_be_found\n", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("def init():\n    raise SystemExit('I give up')\ndef run(body):\n    return body\n", "SystemExit: I give up"),
        ("def run(body):\n", "IndentationError: expected an indented block after function definition on line 1"),
    ],
)
async def test_a_driver_that_does_not_start_ends_the_replica_with_its_traceback(
    start: Start, source: str, last: str
) -> None:
    replica = start(source)
    assert replica.ended() == 1
    assert replica.errors.startswith("Traceback") or "File " in replica.errors
    assert replica.errors.splitlines()[-1] == last
    assert replica.log[-1].level == "CRITICAL"
    assert last.split(": ")[1] in replica.log[-1].message


async def test_a_driver_without_run_does_not_start(start: Start) -> None:
    replica = start("def init():\n    pass\n")
    assert replica.ended() == 1
    assert replica.errors.endswith("AttributeError: The driver score has no function named run.\n")


async def test_a_file_that_is_not_there_does_not_start(start: Start) -> None:
    replica = start("", environment={"SLIPWAY_DRIVER": "other.py"}, port=free_port())
    assert replica.ended() == 1
    assert "other.py" in replica.errors


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("SLIPWAY_MAX_BODY", "big"),
        ("SLIPWAY_MAX_CONCURRENCY", "0"),
        ("SLIPWAY_REQUEST_TIMEOUT", "-1"),
        ("SLIPWAY_PORT", "70000"),
        ("SLIPWAY_DRIVER", ""),
    ],
)
async def test_a_setting_that_makes_no_sense_is_named(start: Start, setting: str, value: str) -> None:
    replica = start(SLOW, environment={setting: value})
    assert replica.ended() == 1
    assert setting in replica.errors
    assert "Traceback" not in replica.errors


async def test_a_port_that_is_taken_is_named(start: Start) -> None:
    first = await start(SLOW).ready()
    second = start(SLOW, port=first.port)
    assert second.ended() != 0
    assert any(f"Cannot listen on 127.0.0.1:{first.port}" in line.message for line in second.log)


async def test_on_sigterm_what_is_under_way_is_answered_and_nothing_new_is_taken(start: Start) -> None:
    replica = await start(SLOW).ready()
    scoring = await under_way(replica)

    async def closed() -> bool:
        return not await replica.listens()

    replica.stop()
    await until(closed)
    assert not scoring.done()
    (replica.folder / "go").touch()
    answer = await scoring
    assert (answer.json(), answer.headers["connection"]) == ("done", "close")
    assert replica.ended() == 0


async def test_a_request_that_hangs_does_not_keep_a_replica_from_ending(start: Start) -> None:
    replica = await start(SLOW, request_timeout=1).ready()
    scoring = await under_way(replica)
    replica.stop()
    assert (await scoring).status_code == 504
    assert replica.ended() == 0


async def test_a_request_that_hangs_leaves_the_driver_time_to_end(start: Start) -> None:
    source = f"""
import atexit, time
atexit.register(lambda: (time.sleep(2.5), print("ended")))
{SLOW}"""
    replica = await start(source, request_timeout=1).ready()
    scoring = await under_way(replica)
    replica.stop()
    assert (await scoring).status_code == 504
    assert (replica.ended(), replica.log[-1].message) == (0, "ended")


async def test_an_idle_replica_ends_at_once(start: Start) -> None:
    replica = await start(SLOW).ready()
    replica.stop()
    assert replica.ended() == 0


async def test_a_replica_can_be_stopped_while_it_starts(start: Start) -> None:
    replica = start("import time\ndef init():\n    time.sleep(60)\ndef run(body):\n    return body\n")
    await until(replica.listens)
    replica.stop()
    assert replica.ended() == 0


async def test_what_a_driver_registered_for_the_end_is_run(start: Start) -> None:
    source = """
    import atexit
    def init():
        atexit.register(lambda: open("ended", "w").close())
    def run(body):
        return body
    """
    replica = await start(source).ready()
    replica.stop()
    assert replica.ended() == 0
    assert (replica.folder / "ended").exists()


async def test_a_replica_ends_with_its_parent_when_it_is_told_to(start: Start) -> None:
    bound = await start(SLOW, exit_with_parent=1).ready()
    free = await start(SLOW).ready()
    bound.process.stdin.close()
    free.process.stdin.close()
    assert bound.ended() == 0
    assert await free.health() == 200


async def test_a_replica_runs_from_anywhere(start: Start) -> None:
    replica = await start("def run(body):\n    return body\n", program=RUNTIME / "__main__.py").ready()
    assert (await replica.score([1])).json() == [1]
    os.kill(replica.process.pid, signal.SIGINT)
    assert replica.ended() == 0
