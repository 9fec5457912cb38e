"""The node stops within its time, whatever its replicas and its own work are at."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from local import stack
from local.compute.limits import Limits
from tests.compute.images import Made
from tests.compute.running import Cluster, Process, Service, alive, counted, until

type MakeImage = Callable[..., Made]
type Started = tuple[Process, Cluster]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Started]:
    """A node in a process of its own, and what clients of it need."""
    async with Process(tmp_path / "state") as running, httpx.AsyncClient(timeout=30) as http:
        yield running, Cluster(await running.addresses(), tmp_path / "state", http)


async def ended(node: Process) -> tuple[int, float]:
    """The node's exit code, and how many seconds after SIGTERM it ended."""
    began = time.monotonic()
    node.process.send_signal(signal.SIGTERM)
    code = await asyncio.wait_for(node.process.wait(), 30)
    return code, time.monotonic() - began


async def pids(service: Service) -> set[int]:
    """The processes of its replicas."""
    return {(await service.score())["pid"] for _ in range(4)}


def test_the_stack_grants_more_than_the_node_takes() -> None:
    assert stack.COMPUTE_STOP_SECONDS >= Limits().stop + 1 > Limits().stop_grace + 3


async def test_replicas_that_ignore_sigterm_do_not_keep_the_node(node: Started, image: MakeImage) -> None:
    running, cluster = node
    service = cluster.service()
    await service.deploy(image(stubborn="yes"), counted(2))
    replicas = await pids(service)
    code, seconds = await ended(running)
    assert code == 0
    assert seconds < Limits().stop
    assert not any(map(alive, replicas))


async def test_a_request_that_does_not_end_does_not_keep_the_node(node: Started, image: MakeImage) -> None:
    running, cluster = node
    service = cluster.service()
    await service.deploy(image(stubborn="yes"), counted(1))
    replicas, call = await pids(service), await service.under_way(sleep=60)
    code, seconds = await ended(running)
    assert code == 0
    assert seconds < Limits().stop
    assert not any(map(alive, replicas))
    assert (await call).status_code == 502


async def test_replicas_that_drain_after_an_update_do_not_keep_the_node(node: Started, image: MakeImage) -> None:
    running, cluster = node
    service = cluster.service()
    await service.deploy(image(stubborn="yes"), counted(1))
    replicas, call = await pids(service), await service.under_way(sleep=60)
    await service.deploy(image(2, answer="two"), counted(1))
    _, seconds = await ended(running)
    assert seconds < Limits().stop
    assert not any(map(alive, replicas))
    await asyncio.gather(call, return_exceptions=True)


async def test_a_replica_that_is_still_starting_does_not_keep_the_node(node: Started, image: MakeImage) -> None:
    running, cluster = node
    service = cluster.service()
    await cluster.compute.ensure_deployment(service.spec(image(stubborn="yes", slow="60")))
    await until(lambda: list((cluster.state / "logs").glob("*/*.log")))
    code, seconds = await ended(running)
    assert code == 0
    assert seconds < Limits().stop


async def test_work_on_files_that_never_ends_does_not_keep_the_node(node: Started, image: MakeImage, tmp_path: Path) -> None:
    running, cluster = node
    service = cluster.service()
    made = image()
    for blob in (tmp_path / "layout" / "blobs" / "sha256").iterdir():
        if blob.read_bytes().startswith(b"\x1f\x8b"):  # a layer becomes a pipe that nobody writes to
            blob.unlink()
            os.mkfifo(blob)
    await cluster.compute.ensure_deployment(service.spec(made))
    await until(lambda: cluster.files("images/*"))
    code, seconds = await ended(running)
    assert code == 1
    assert seconds < stack.COMPUTE_STOP_SECONDS


async def test_a_request_that_ends_in_time_is_answered_while_the_node_stops(node: Started, image: MakeImage) -> None:
    running, cluster = node
    service = cluster.service()
    await service.deploy(image(stubborn="yes"), counted(1))
    call = await service.under_way(sleep=1)
    await ended(running)
    assert (await call).status_code == 200
