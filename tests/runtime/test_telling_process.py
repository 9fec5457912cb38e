"""The process that talks to Azure: apart from the server, and never in its way."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from uv import find_uv_bin

from local.azurite.server import Azurite
from runtime.slipway_server.telling.outlet import BOUND
from runtime.slipway_server.telling.teller import Teller
from tests.runtime.replicas import RUNTIME, Replica, Start
from tests.runtime.telling import Kept, answered, app, count
from tests.waiting import until

NOBODY = "BlobEndpoint=http://127.0.0.1:1/a;AccountName=a;AccountKey=aa=="
COLLECTING = {"AML_MODEL_DC_STORAGE_ENABLED": "true", "AML_MODEL_DC_STORAGE": NOBODY, "SLIPWAY_COLLECTION_SECONDS": "0.05"}


@pytest.fixture
def kept(azurite: Azurite) -> Iterator[Kept]:
    kept = Kept(azurite.connection_string)
    yield kept
    kept.close()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def there(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


async def telling(replica: Replica) -> int:
    """The id of its telling process."""
    await replica.ready()
    [child] = children(replica.process.pid)
    return child


async def test_a_replica_that_tells_nobody_has_no_such_process(start: Start) -> None:
    replica = await start("def run(body):\n    return body\n").ready()
    assert children(replica.process.pid) == []


async def test_what_is_switched_on_without_a_value_has_no_effect_and_is_said(start: Start) -> None:
    environment = {"AML_APP_INSIGHTS_ENABLED": "true", "AML_MODEL_DC_STORAGE_ENABLED": "true"}
    replica = await start("def run(body):\n    return body\n", environment=environment).ready()
    assert children(replica.process.pid) == []
    said = [line.message for line in replica.log if line.level == "WARNING"]
    assert [line.split()[0] for line in said] == ["AML_MODEL_DC_STORAGE", "AML_APP_INSIGHTS_KEY"]


async def test_a_share_that_is_none_ends_the_replica_with_the_name_of_the_setting(start: Start) -> None:
    replica = start("def run(body):\n    return body\n", environment={"SLIPWAY_COLLECTION_SAMPLING": "all"})
    assert replica.ended() == 1
    assert replica.errors == "SLIPWAY_COLLECTION_SAMPLING is not a number from 0 to 1: 'all'.\n"


async def test_azures_packages_are_not_in_the_servers_process(start: Start) -> None:
    source = """
    import sys
    def run(body):
        return [name for name in sys.modules if name.split(".")[0] in {"azure", "opentelemetry", "requests"}]
    """
    environment = {**COLLECTING, "AML_APP_INSIGHTS_ENABLED": "true", "AML_APP_INSIGHTS_KEY": "a"}
    replica = await start(source, environment=environment).ready()
    assert (await replica.score({})).json() == []
    assert len(children(replica.process.pid)) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_it_ends_with_the_server_however_that_ends(start: Start, number: int) -> None:
    replica = start("def run(body):\n    return body\n", environment=COLLECTING)
    process = await telling(replica)
    os.kill(process, signal.SIGTERM)  # as when a whole group is told to stop: it is not the first to go
    await replica.score({})
    assert there(process)
    replica.process.send_signal(number)
    replica.ended()

    async def gone() -> bool:
        return not there(process)

    await until(gone)


async def test_without_it_a_replica_answers_on_and_says_so_once(start: Start) -> None:
    replica = start("def run(body):\n    return body\n", environment=COLLECTING)
    process = await telling(replica)
    os.kill(process, signal.SIGKILL)

    async def said() -> bool:
        assert (await replica.score([1])).json() == [1]
        return any("is gone" in line.message for line in replica.log)

    await until(said)
    for _ in range(20):
        assert (await replica.score([1])).json() == [1]
    assert len([line for line in replica.log if "is gone" in line.message]) == 1
    replica.stop()
    assert replica.ended() == 0


async def test_what_comes_faster_than_it_takes_is_dropped_at_a_bound(tmp_path: Path) -> None:
    teller = Teller(COLLECTING, app(tmp_path / "app"))
    process = teller._process._process.pid
    os.kill(process, signal.SIGSTOP)
    body = b"7" * 100_000
    for number in range(400):
        answered(teller, body, 0, id=f"r{number}")
    taken = 400 - count(teller, "dropped")
    assert 0 < taken * len(body) <= 2 * BOUND + 1_000_000
    os.kill(process, signal.SIGCONT)

    async def known() -> bool:
        return teller._process.totals.dropped + teller._outlet.dropped == 400 - taken and teller._outlet.dropped == 0

    answered(teller, b"1", 0, id="last")
    await until(known)
    await teller.close()


async def test_the_servers_own_packages_are_all_that_it_needs(azurite: Azurite, kept: Kept, tmp_path: Path) -> None:
    """As in an image: another Python, with nothing installed, and the packages of the lock in `lib`."""
    installed = tmp_path / "runtime"
    shutil.copytree(RUNTIME, installed, ignore=shutil.ignore_patterns("__pycache__", "lib"))
    command = [find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(installed / "lib")]
    locked = ["--require-hashes", "--no-deps", "-r", str(RUNTIME / "requirements.txt")]
    await asyncio.to_thread(subprocess.run, [*command, *locked], check=True)
    numbers = [
        'slipway_told_total{destination="storage"} 2',
        'slipway_lost_total{destination="event_hub"} 1',
        'slipway_lost_total{destination="app_insights"} 1',
    ]
    program = f"""
import asyncio, os, sys, time
from pathlib import Path
sys.path.insert(0, {str(installed)!r})
from slipway_server.http.messages import Headers, Request, Response
from slipway_server.telling import observers
[teller] = observers(os.environ, Path.cwd())
teller.scored(Request.of("POST", "/score", Headers(), b"[1]", keep_alive=True), Response(200, b"2"), time.time(), 0.1)
while not all(number in teller.metrics() for number in {numbers}):
    time.sleep(0.05)
asyncio.run(teller.close())
"""
    environment = {
        **COLLECTING,
        "AML_MODEL_DC_STORAGE": azurite.connection_string,
        "AML_MODEL_DC_EVENT_HUB_ENABLED": "true",
        "AML_MODEL_DC_EVENT_HUB": "no connection string",
        "AML_APP_INSIGHTS_ENABLED": "true",
        "AML_APP_INSIGHTS_KEY": "no key",
        "SERVICE_NAME": "installed",
    }
    python = getattr(sys, "_base_executable", sys.executable)
    ran = await asyncio.to_thread(
        subprocess.run,
        [python, "-I", "-c", program],
        env=environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert all(f"{name} was not told: ValueError" in ran.stdout for name in ("event_hub", "app_insights"))
    assert len(kept.all_rows("unknown/installed")) == 2
