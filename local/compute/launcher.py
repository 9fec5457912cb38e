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

from local.compute.command_line import ADDRESS, command, environment
from local.compute.contents import APP_FOLDER, Content, Contents
from local.compute.drain import Drain
from local.compute.limits import Limits
from local.compute.logs import Logs, ReplicaLog
from local.compute.pool import Backend
from local.compute.replica import Replica
from local.compute.state import Deployment
from local.compute.threads import in_thread

_KEYS = "keys"


class Launcher:
    """Starts replicas, each in a folder of its own."""

    def __init__(self, folder: Path, contents: Contents, logs: Logs, limits: Limits) -> None:
        self._folder = folder
        self._contents = contents
        self._logs = logs
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

        Raises OSError or ServiceError when the image cannot be read or its command cannot be run.
        """
        name = f"{deployment.id}-{ordinal}"
        app = self._folder / name / APP_FOLDER
        content = await self._contents.ensure(deployment.image_location, deployment.image_digest)
        log = self._logs.of(service_id, name)
        with self._ports.free() as port:
            try:
                await in_thread(partial(content.copy_app, app))
                credential = _credential(app.with_name(_KEYS))
                async with _drained(log) as printed:
                    process = await self._start(deployment, content, app, port, printed)
                    backend = Backend(URL(f"http://{ADDRESS}:{port}"), deployment.slots, deployment.id, credential)
                    replica = Replica(process, backend, log, printed)
                    try:
                        yield replica
                    finally:
                        await replica.stop(self._grace)
            finally:
                await in_thread(partial(shutil.rmtree, app.parent, ignore_errors=True))

    async def _start(
        self, deployment: Deployment, content: Content, app: Path, port: int, printed: Drain
    ) -> asyncio.subprocess.Process:
        """Its standard input is a pipe that ends with the node, which tells it to end too, even where the node is killed."""
        waiting = self._limits.waiting_per_replica
        with printed.writer() as output:
            return await asyncio.create_subprocess_exec(
                *command(content, app),
                cwd=app,
                env=environment(deployment, content, app, port=port, waiting=waiting, keys=app.with_name(_KEYS)),
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
