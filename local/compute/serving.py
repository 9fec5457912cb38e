"""The node behind its two listeners, from start to stop."""

import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from local.compute.command_line import ADDRESS
from local.compute.control import Control
from local.compute.front_end import FrontEnd
from local.compute.grants import Grants
from local.compute.limits import Limits
from local.compute.node import Node
from local.compute.silence import Silence
from shared.clock import SystemClock
from shared.domain.computing import CollectionTargets
from shared.storage.collected_data import CollectedData

_BACKLOG = 1024
_LAST_ANSWERS = 0.5  # seconds that answers are given to leave, once the replicas have stopped
_IDLE_CONNECTION = 2.0  # shorter than any server keeps one, or a request could meet a connection that just closes


class StateInUse(Exception):
    """Another node works in that folder."""


@dataclass(frozen=True)
class Options:
    """Where the node keeps its state, its ports (0: any free one), the token of its control API, and where data goes."""

    state: Path
    control_port: int
    front_end_port: int
    token: str
    targets: CollectionTargets = field(default_factory=CollectionTargets)


@dataclass(frozen=True)
class Addresses:
    """The base URLs of the two listeners."""

    control: str
    front_end: str


@asynccontextmanager
async def serving(options: Options, limits: Limits) -> AsyncIterator[Addresses]:
    """Run a node for as long as the context lasts; raises StateInUse, or OSError when a port is taken.

    At the end no connections are taken, then the replicas are stopped, and their last answers leave.
    """
    with _only_one_in(options.state):
        async with _session() as session, _grants(options.targets, limits) as grants:
            node = Node(options.state, session, grants, limits)
            front_end = FrontEnd(node.named, session, limits).application()
            control = Control(node, options.token).application()
            async with _listening(front_end, options.front_end_port, limits) as calls:
                node.start()
                try:
                    async with _listening(control, options.control_port, limits) as commands:
                        yield Addresses(_url(commands), _url(calls))
                finally:
                    await _take_no_more(calls)
                    await node.stop()


@asynccontextmanager
async def _grants(targets: CollectionTargets, limits: Limits) -> AsyncIterator[Grants]:
    storage = CollectedData(targets.storage, SystemClock())
    try:
        yield Grants(targets, storage, limits.renewal)
    finally:
        await storage.close()


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_CONNECTION),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


@asynccontextmanager
async def _listening(application: web.Application, port: int, limits: Limits) -> AsyncIterator[web.AppRunner]:
    """A caller that goes away ends the work on its request; what was compressed is passed on as it is."""
    silence = Silence(limits.head_timeout)
    silence.hear(application)
    runner = web.AppRunner(
        application, handler_cancellation=True, auto_decompress=False, access_log=None, shutdown_timeout=_LAST_ANSWERS
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, ADDRESS, port, backlog=_BACKLOG).start()
        async with silence.ended_on(runner):
            yield runner
    finally:
        await runner.cleanup()


async def _take_no_more(runner: web.AppRunner) -> None:
    for site in list(runner.sites):
        await site.stop()


def _url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"


@contextmanager
def _only_one_in(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateInUse(f"A compute node works in {folder} already.") from None
        yield
