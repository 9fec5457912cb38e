"""Child processes of the stack: started with a log of their own, started again when they die, stopped in time."""

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from local.proxies import past_proxies

_logger = logging.getLogger("local")

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True)
class Program:
    """What to run: a name for people, a command, its environment, and the file its output goes to."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path


class Child:
    """A program that runs until it is stopped. It holds a pipe from us, and so learns when we are gone."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def code(self) -> int | None:
        """The exit code of a program that has ended, and was not started again."""
        return self._process.returncode if self._process is not None else None

    async def start(self) -> None:
        """Start it."""
        await self._spawn()

    def keep(self) -> None:
        """Keep it running from now on: started again when it ends."""
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self, seconds: float) -> None:
        """Ask it to stop, and kill it after that long."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            below = await asyncio.to_thread(descendants, process.pid)
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(seconds):
                    await process.wait()
            except TimeoutError:
                _logger.warning("%s did not stop within %.0f s and is killed", self.program.name, seconds)
                process.kill()
                await process.wait()
            for pid in below:  # what it left behind, such as an installer that it did not wait for
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def _spawn(self) -> None:
        self.program.log.parent.mkdir(parents=True, exist_ok=True)
        with self.program.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.program.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=dict(self.program.environment),
                start_new_session=True,  # Ctrl-C reaches us only, and we stop the others in their order
            )

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while self._process is not None:
            began = asyncio.get_running_loop().time()
            code = await self._process.wait()
            if self._stopping:
                return
            lived = asyncio.get_running_loop().time() - began
            pause = _FIRST_PAUSE if lived > 60 else min(pause * 2, _LONGEST_PAUSE)
            _logger.warning(
                "%s ended with %d and is started again; its log is %s", self.program.name, code, self.program.log
            )
            await asyncio.sleep(pause)
            await self._spawn()


def descendants(pid: int) -> set[int]:
    """All processes below that one, however deep."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout  # noqa: S607
    parents = {int(line.split()[0]): int(line.split()[1]) for line in listed.splitlines()}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def inherited(**settings: str) -> dict[str, str]:
    """This process's environment with those settings, and without any other of the app's; loopback is called directly."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("SLIPWAY_", "AzureWebJobs"))}
    return {**ours, **past_proxies(ours), **settings}
