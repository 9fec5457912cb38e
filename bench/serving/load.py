"""Load: as much as a server takes, by wrk, or so much a second, by this program run by itself."""

import asyncio
import gc
import json
import re
import statistics
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import override

import httptools
import uvloop

from bench.serving.servers import Running

CONNECTIONS = 32
_SCRIPT = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[{body}]==]
"""


@dataclass(frozen=True)
class Load:
    """What came of it; latencies are seconds."""

    rate: float
    p50: float
    p99: float


def most(running: Running, folder: Path, core: int, seconds: int) -> Load:
    """As fast as 32 connections ask, each as soon as it is answered. Raises RuntimeError when any answer is no 200."""
    script = folder / "wrk.lua"
    script.write_text(_SCRIPT.format(body=running.server.body.decode()))
    url = f"http://127.0.0.1:{running.port}{running.server.path}"
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script)]
    text = _output(["taskset", "-c", str(core), "wrk", *options, url])
    if "Non-2xx" in text or not (rate := re.search(r"Requests/sec:\s+([\d.]+)", text)):
        raise RuntimeError(f"{running.server.name}: {text}")
    return Load(float(rate[1]), _percentile(text, "50"), _percentile(text, "99"))


def paced(running: Running, core: int, rate: float, seconds: int) -> Load:
    """So many a second, evenly, over 32 connections. A latency begins when the request was due, sent or not."""
    asked = {"port": running.port, "path": running.server.path, "body": running.server.body.decode()}
    command = [sys.executable, "-m", "bench.serving.load", json.dumps({**asked, "rate": rate, "seconds": seconds})]
    return Load(**json.loads(_output(["taskset", "-c", str(core), *command])))


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _percentile(text: str, percent: str) -> float:
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s)$", text, re.MULTILINE)
    if not found:
        raise RuntimeError(text)
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1}[found[2]]


class Pace:
    """Requests that are due, and the connections that are free for them."""

    def __init__(self, port: int, path: str, body: str) -> None:
        self._port = port
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.request = (head + body).encode()
        self.latencies: list[float] = []
        self._due: deque[float] = deque()
        self._free: deque[Client] = deque()
        self._opening: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """One connection more."""
        await asyncio.get_running_loop().create_connection(lambda: Client(self), "127.0.0.1", self._port)

    def reopen(self) -> None:
        """One in the place of one that the server closed."""
        task = asyncio.ensure_future(self.open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def free(self, client: "Client") -> None:
        """That one can send."""
        if self._due:
            client.send(self._due.popleft())
        else:
            self._free.append(client)

    def ask(self, due: float) -> None:
        """Send one, now or as soon as a connection is free."""
        if self._free:
            self._free.popleft().send(due)
        else:
            self._due.append(due)

    async def run(self, rate: float, seconds: float) -> None:
        """All of them. It is never idle: a timer is late by more than many a server takes."""
        for _ in range(CONNECTIONS):
            await self.open()
        count, began = int(rate * seconds), time.perf_counter() + 0.1
        for number in range(count):
            due = began + number / rate
            while time.perf_counter() < due:  # noqa: ASYNC110  an event comes when somebody sets it, and nobody does
                await asyncio.sleep(0)
            self.ask(due)
        while len(self.latencies) < count:  # noqa: ASYNC110  nothing else happens
            await asyncio.sleep(0)


class Client(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self._pace.free(self)

    def send(self, due: float) -> None:
        """A request that was due then."""
        self._due = due
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(self._pace.request)

    @override
    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self._pace.latencies.append(time.perf_counter() - self._due)
        if self._parser.get_status_code() != 200:
            raise RuntimeError(f"The answer was {self._parser.get_status_code()}.")
        if self._parser.should_keep_alive():
            self._pace.free(self)
        else:
            self._transport.close()
            self._pace.reopen()


def main() -> None:
    """The process that `paced` starts."""
    gc.disable()  # its pauses would be the server's
    given = json.loads(sys.argv[1])
    rate, seconds = given.pop("rate"), given.pop("seconds")

    async def measure() -> None:
        pace = Pace(**given)
        async with asyncio.timeout(seconds + 20):
            await pace.run(rate, seconds)
        percentiles = statistics.quantiles(pace.latencies, n=100)
        print(json.dumps({"rate": rate, "p50": percentiles[49], "p99": percentiles[98]}))

    uvloop.run(measure())


if __name__ == "__main__":
    main()
