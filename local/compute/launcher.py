"""Starts replicas: each with a port and a folder of its own, and nothing left of it when it has ended."""

import asyncio
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from yarl import URL

from local.compute.command_line import ADDRESS, Given, command, environment
from local.compute.contents import APP_FOLDER, Content, Contents
from local.compute.drain import Drain
from local.compute.grants import Grants
from local.compute.limits import Limits
from local.compute.logs import Logs, ReplicaLog
from local.compute.pool import Backend
from local.compute.replica import Replica
from local.compute.state import Deployment
from local.compute.threads import in_thread

_KEYS = "keys"


class Launcher:
    """Starts replicas, each in a folder of its own."""

    def __init__(self, folder: Path, contents: Contents, logs: Logs, grants: Grants, limits: Limits) -> None:
        self._folder = folder
        self._contents = contents
        self._logs = logs
        self._grants = grants
        self._limits = limits
        self._grace = limits.grace
        self._ports = _Ports()
        shutil.rmtree(folder, ignore_errors=True)  # left by a node that was killed

    def hurry(self) -> None:
        """From now on, replicas are given less time to stop: the node itself stops."""
        self._grace = min(self._grace, self._limits.stop_grace)

    @asynccontextmanager
    async def replica(self, service_id: str, deployment: Deployment, ordinal: int) -> AsyncIterator[Replica]:
        """A replica, started; stopped, with its folder removed, when the context ends.

        Raises OSError or ServiceError when the image cannot be read, its command cannot be run, or
        storage grants nothing now.
        """
        name = f"{deployment.id}-{ordinal}"
        app = self._folder / name / APP_FOLDER
        content = await self._contents.ensure(deployment.image_location, deployment.image_digest)
        log = self._logs.of(service_id, name)
        with self._ports.free() as port:
            try:
                await in_thread(partial(content.copy_app, app))
                async with self._running(deployment, content, app, port, log) as replica:
                    yield replica
            finally:
                await in_thread(partial(shutil.rmtree, app.parent, ignore_errors=True))

    @asynccontextmanager
    async def _running(
        self, deployment: Deployment, content: Content, app: Path, port: int, log: ReplicaLog
    ) -> AsyncIterator[Replica]:
        keys = app.with_name(_KEYS)
        credential = _credential(keys)
        backend = Backend(URL(f"http://{ADDRESS}:{port}"), deployment.slots, deployment.id, credential)
        async with self._grants.kept_in(keys, deployment.settings) as targets, _drained(log) as printed:
            given = Given(port, self._limits.waiting_per_replica, keys, targets)
            process = await _started(command(content, app), app, environment(deployment, content, app, given), printed)
            replica = Replica(process, backend, log, printed)
            try:
                yield replica
            finally:
                await replica.stop(self._grace)


async def _started(words: list[str], app: Path, told: dict[str, str], printed: Drain) -> asyncio.subprocess.Process:
    """Its standard input is a pipe that ends with the node, which tells it to end too, even where the node is killed."""
    with printed.writer() as output:
        return await asyncio.create_subprocess_exec(
            *words,
            cwd=app,
            env=told,
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            process_group=0,
        )


def _credential(folder: Path) -> str:
    """What only this replica and who starts it know: a key in a folder, as a Secret is mounted."""
    credential = secrets.token_urlsafe(32)
    folder.mkdir(mode=0o700)
    (folder / "primary").write_text(credential)
    return credential


@asynccontextmanager
async def _drained(log: ReplicaLog) -> AsyncIterator[Drain]:
    printed = Drain(log.open())
    try:
        yield printed
    finally:
        await printed.end()


class _Ports:
    """Ports that are free, none of them given to two replicas."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    @contextmanager
    def free(self) -> Iterator[int]:
        port = next(port for port in _free_ports() if port not in self._given)
        self._given.add(port)
        try:
            yield port
        finally:
            self._given.discard(port)


def _free_ports() -> Iterator[int]:
    while True:
        with socket.socket() as probe:
            probe.bind((ADDRESS, 0))
            port: int = probe.getsockname()[1]
        yield port
