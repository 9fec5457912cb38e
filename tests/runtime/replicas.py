"""Scoring servers as an image runs them: real processes, spoken to over HTTP, and what they log."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from tests.waiting import until

RUNTIME = Path(__file__).parents[2] / "runtime"


type Start = Callable[..., "Replica"]


@dataclass(frozen=True)
class Line:
    """One line of the log, taken apart as the old client takes it apart (client-facts.md, 30)."""

    level: str
    logger: str
    request_id: str
    api_name: str
    message: str

    @classmethod
    def of(cls, text: str) -> Self:
        outer = json.loads(text)
        assert outer["timestamp"]
        inner = json.loads(outer["message"])
        return cls(outer["level"], outer["logger"], inner["requestId"], inner["apiName"], inner["message"])


class Replica:
    """One scoring server and what it has said."""

    def __init__(self, folder: Path, environment: Mapping[str, str], program: Path = RUNTIME) -> None:
        self.folder = folder
        self.port = int(environment["SLIPWAY_PORT"])
        self.process = subprocess.Popen(
            [sys.executable, str(program)],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._said: list[str] = []
        self._complained: list[str] = []
        self._readers = [
            threading.Thread(target=self._said.extend, args=(self.process.stdout,)),
            threading.Thread(target=self._complained.extend, args=(self.process.stderr,)),
        ]
        for reader in self._readers:
            reader.start()
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)

    @property
    def log(self) -> list[Line]:
        """Every line of standard output: each of them must be one of the log."""
        return [Line.of(text) for text in self._said]

    @property
    def errors(self) -> str:
        """Standard error."""
        return "".join(self._complained)

    async def logged(self, request_id: str, text: str) -> Line:
        """The line under that request id that holds the text, once it is there."""

        async def is_there() -> bool:
            return self._logged(request_id, text) is not None

        await until(is_there)
        return self._logged(request_id, text)

    async def says(self, text: str) -> None:
        """Return once a line of the log, of any request or none, holds the text."""

        async def is_there() -> bool:
            return any(text in line.message for line in self.log)

        await until(is_there)

    def _logged(self, request_id: str, text: str) -> Line | None:
        return next((line for line in self.log if line.request_id == request_id and text in line.message), None)

    async def health(self) -> int:
        """The status of the health check; 0 where nobody listens."""
        try:
            return (await self.client.get("/")).status_code
        except httpx.TransportError:
            return 0

    async def listens(self) -> bool:
        """Whether anybody answers."""
        return await self.health() != 0

    async def ready(self) -> Self:
        """This replica, once it can score."""

        async def is_ready() -> bool:
            assert self.process.poll() is None, self.errors
            return await self.health() == 200

        await until(is_ready)
        return self

    async def score(self, body: Any = None, **more: Any) -> httpx.Response:
        """POST /score: bytes and text as they are, anything else as JSON."""
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        return await self.client.post("/score", content=content, **more)

    def stop(self) -> None:
        """Ask it to end."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self, seconds: float = 20) -> int:
        """The exit code, once all that it said is read."""
        code = self.process.wait(seconds)
        for reader in self._readers:
            reader.join()
        return code

    async def discard(self) -> None:
        """Leave nothing of it."""
        await self.client.aclose()
        if self.process.poll() is None:
            self.process.kill()
        self.process.stdin.close()
        self.ended()
        self.process.stdout.close()
        self.process.stderr.close()


def environment_for(driver: str, dependencies: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    given = {
        f"SLIPWAY_{name.upper()}": str(value) for name, value in settings.items() if name not in {"program", "environment"}
    }
    return {
        "PATH": os.environ["PATH"],
        "SLIPWAY_DRIVER": driver,
        "SLIPWAY_DEPENDENCIES": str(dependencies / "no-packages"),
        "SLIPWAY_HOST": "127.0.0.1",
        "SLIPWAY_PORT": str(free_port()),
        **settings.get("environment", {}),
        **given,
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
