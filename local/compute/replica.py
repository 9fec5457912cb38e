"""One replica: a process in a group of its own, that runs an image's content and answers on a port of this machine."""

import asyncio
import os
import signal
from dataclasses import dataclass

import aiohttp

from local.compute.drain import Drain
from local.compute.logs import ReplicaLog
from local.compute.pool import Backend

_FIRST_LOOK = 0.02
_LONGEST_PAUSE = 0.5


@dataclass(frozen=True)
class End:
    """How a replica ended, or that its time was up, the end of what it printed, and for how many seconds it was healthy."""

    happened: str
    log: str
    timed_out: bool = False
    out_of_room: bool = False
    """Whether it ended because the disk is full."""
    healthy_for: float = 0


class Replica:
    """A process that was started. It may answer, now or later, at its backend's address."""

    def __init__(self, process: asyncio.subprocess.Process, backend: Backend, log: ReplicaLog, printed: Drain) -> None:
        self._process = process
        self.backend = backend
        self._log = log
        self._printed = printed

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
        await self._printed.emptied()
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
                await self._process.wait()
        except TimeoutError:
            return None
        return await self.ended()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # all of the group have ended; macOS says so by the second
