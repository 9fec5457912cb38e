"""One replica: a process in a group of its own, that runs an image's content and answers on a port of this machine."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
from yarl import URL

from local.compute.contents import Content, Contents
from local.compute.launch import ADDRESS, command, environment
from local.compute.limits import Limits
from local.compute.logs import Logs, ReplicaLog
from local.compute.pool import Backend
from local.compute.state import Deployment
from local.compute.threads import in_thread

_FIRST_LOOK = 0.02
_LONGEST_PAUSE = 0.5


@dataclass(frozen=True)
class End:
    """How a replica ended, or that its time was up, and the end of what it printed."""

    happened: str
    log: str
    timed_out: bool = False


class Replica:
    """A process that was started. It may answer, now or later, at its backend's address."""

    def __init__(self, process: asyncio.subprocess.Process, backend: Backend, log: ReplicaLog) -> None:
        self._process = process
        self.backend = backend
        self._log = log

    async def healthy(self, session: aiohttp.ClientSession, within: float) -> End | None:
        """Wait until it answers that it is healthy (client-facts.md, 28): None then, or why it never was."""
        try:
            async with asyncio.timeout(within):
                return await self._healthy_or_ended(session)
        except TimeoutError:
            return End(f"A replica was not healthy within {within:g} seconds", self._log.last_lines(), timed_out=True)

    async def ended(self) -> End:
        """Wait for its end."""
        code = await self._process.wait()
        how = f"was ended by signal {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        return End(f"A replica {how}", self._log.last_lines())

    async def stop(self, grace: float) -> None:
        """SIGTERM, and after `grace` seconds SIGKILL, for all of its group; a cancellation makes that at once."""
        try:
            self._signal(signal.SIGTERM)
            async with asyncio.timeout(grace):
                await self._process.wait()
        except TimeoutError:
            pass  # it had its time
        finally:
            self._signal(signal.SIGKILL)  # whatever it left behind, too
            await self._process.wait()

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(self.backend.url / "", timeout=aiohttp.ClientTimeout(_LONGEST_PAUSE * 4)) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _healthy_or_ended(self, session: aiohttp.ClientSession) -> End | None:
        pause = _FIRST_LOOK
        while not await self._answers(session):
            if end := await self._ended_within(pause):
                return end
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return await self._ended_within(0)  # then it was something else that answered on that port

    async def _ended_within(self, seconds: float) -> End | None:
        try:
            async with asyncio.timeout(seconds):
                return await self.ended()
        except TimeoutError:
            return None

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # all of the group have ended; macOS says so by the second


class Launcher:
    """Starts replicas, each in a folder of its own."""

    def __init__(self, folder: Path, contents: Contents, logs: Logs, limits: Limits) -> None:
        self._folder = folder
        self._contents = contents
        self._logs = logs
        self._limits = limits
        self._ports = _Ports()
        shutil.rmtree(folder, ignore_errors=True)  # left by a node that was killed

    @asynccontextmanager
    async def replica(self, service_id: str, deployment: Deployment, ordinal: int) -> AsyncIterator[Replica]:
        """A replica, started; stopped, with its folder removed, when the context ends.

        Raises OSError or ServiceError when the image cannot be read or its command cannot be run.
        """
        name = f"{deployment.id}-{ordinal}"
        app = self._folder / name / "app"
        content = await self._contents.ensure(deployment.image_location, deployment.image_digest)
        log = self._logs.of(service_id, name, partial(content.in_image, app=app))
        with self._ports.free() as port:
            try:
                await in_thread(partial(content.copy_app, app))
                process = await self._start(deployment, content, app, port, log)
                replica = Replica(process, Backend(URL(f"http://{ADDRESS}:{port}"), deployment.slots), log)
                try:
                    yield replica
                finally:
                    await replica.stop(self._limits.grace)
            finally:
                await in_thread(partial(shutil.rmtree, app.parent, ignore_errors=True))

    async def _start(
        self, deployment: Deployment, content: Content, app: Path, port: int, log: ReplicaLog
    ) -> asyncio.subprocess.Process:
        """Its standard input is a pipe that ends with the node, which tells it to end too, even where the node is killed."""
        waiting = self._limits.waiting_per_replica
        with log.open() as output:
            return await asyncio.create_subprocess_exec(
                *command(content, app),
                cwd=app,
                env=environment(deployment, content, app, port=port, waiting=waiting),
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                process_group=0,
            )


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
