"""A container: processes that see nothing but an image's files and a pod's volumes, run by bubblewrap."""

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from tests.clusters.node.images import Unpacked
from tests.registries.running import judge

type Lines = list[tuple[datetime | None, str]]


@dataclass(frozen=True)
class Mount:
    """A folder of this machine, and where the container has it."""

    place: Path
    path: str
    read_only: bool


class Container:
    """One run of a container; `printed` is what it has printed so far."""

    def __init__(self, process: asyncio.subprocess.Process, pid: int) -> None:
        self.printed: Lines = []
        self._process = process
        self._pid = pid
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def start(
        cls, image: Unpacked, mounts: list[Mount], environment: dict[str, str], name: str, *, read_only: bool
    ) -> Self:
        """Start the image's entry point, as its user, as process 1."""
        told, tell = os.pipe()
        command = _command(image, mounts, name, read_only=read_only, tell=tell)
        process = await asyncio.create_subprocess_exec(
            *command,
            env=image.environment | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(tell,),
            **_identity(image.user),
        )
        os.close(tell)
        with os.fdopen(told) as info:
            said = await asyncio.to_thread(info.read)
        return cls(process, json.loads(said)["child-pid"] if said else process.pid)

    async def ended(self) -> int:
        """Wait for its end, and all that it said; its exit code, 128 and the signal's number where one ended it."""
        await self._reading
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    async def stop(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL when it has not ended after so many seconds."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(asyncio.ensure_future(self.ended()))
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL; when this returns it has ended."""
        self._signal(signal.SIGKILL)
        await self.ended()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            try:
                os.kill(self._pid, number)
            except ProcessLookupError:
                return  # it has just ended

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.printed.append((datetime.now(UTC), line.decode(errors="replace").rstrip("\n")))


def _command(image: Unpacked, mounts: list[Mount], name: str, *, read_only: bool, tell: int) -> list[str]:
    words = [judge("bwrap", "bubblewrap"), "--info-fd", str(tell), "--die-with-parent", "--new-session", "--as-pid-1"]
    words += ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", name[:63].strip("-")]
    words += ["--uid", str(image.user), "--gid", str(image.user)]
    words += ["--ro-bind" if read_only else "--bind", str(image.root), "/", "--proc", "/proc", "--dev", "/dev"]
    for mount in mounts:
        (image.root / mount.path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        words += ["--ro-bind" if mount.read_only else "--bind", str(mount.place), mount.path]
    return [*words, "--chdir", image.config.get("WorkingDir") or "/", "--", *image.config["Entrypoint"]]


def _identity(user: int) -> dict[str, int | list[int]]:
    """Files belong to whom they belong to: as root, bubblewrap is run by the image's user and not by root."""
    return {"user": user, "group": user, "extra_groups": []} if os.geteuid() == 0 else {}
