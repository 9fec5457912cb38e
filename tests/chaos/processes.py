"""A stack whose workers are killed and whose storage stops answering, at random, while clients go on asking."""

import itertools
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx

from local.azurite.server import free_ports
from tests.conftest import REPOSITORY, Stack
from tests.functions.test_repeating import sent

_WORKERS = 4
_PATIENCE = 240.0


def below(pid: int) -> dict[int, str]:
    """All processes below that one, however deep, and their command lines."""
    listed = subprocess.run(["ps", "-e", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 2) for line in listed.splitlines()]
    found = {pid}
    while more := {int(child) for child, parent, _ in lines if int(parent) in found} - found:
        found |= more
    return {int(child): args for child, _, args in lines if int(child) in found - {pid}}


@dataclass
class Disturber:
    """Kills workers, one every 0.2 to 2 s, and stops the storage now and then, until it is told to end."""

    stack: Stack
    seed: int
    storage_away: float
    storage_every: float
    kills: int = 0
    stops: int = 0
    _ports: list[int] = field(default_factory=lambda: free_ports(_WORKERS))
    _workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def addresses(self) -> list[str]:
        """Where the app is served: by the stack's own host and by the others."""
        described = self.stack.description["baseUrl"]
        return [described, *(re.sub(r":\d+", f":{port}", described, count=1) for port in self._ports)]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Disturb in the background; the workers it has started go on until the end of the context `workers`."""
        ending = threading.Event()
        threads = [threading.Thread(target=act, args=(ending,)) for act in (self._kill, self._stop_storage)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ending.set()
            for thread in threads:
                thread.join()

    @contextmanager
    def workers(self) -> Iterator[None]:
        """Hosts of the same app besides the stack's own, which take their part of all queues."""
        environment = _environment(next(pid for pid, args in self._stack_processes() if "local.host" in args))
        command = [sys.executable, "-m", "local.host", "--app", str(REPOSITORY), "--drain", "3", "--port"]
        self._start = lambda port: subprocess.Popen(
            [*command, str(port)],
            env=environment,
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._workers = [self._start(port) for port in self._ports]
        try:
            yield
        finally:
            for worker in self._workers:
                worker.terminate()
            for worker in self._workers:
                worker.wait(timeout=20)

    def _kill(self, ending: threading.Event) -> None:
        chance = random.Random(self.seed)
        while not ending.wait(chance.uniform(0.2, 2)):
            which = chance.randrange(_WORKERS + 1)
            if which < _WORKERS:
                self._workers[which].kill()
                self._workers[which].wait()
                self._workers[which] = self._start(self._ports[which])
                self.kills += 1
                continue
            for pid in [pid for pid, args in self._stack_processes() if "local.host" in args]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.kills += 1

    def _stop_storage(self, ending: threading.Event) -> None:
        chance = random.Random(self.seed + 1)
        while not ending.wait(chance.uniform(0.3, 1) * self.storage_every):
            (azurite,) = [pid for pid, args in self._stack_processes() if "azurite" in args and "local.tether" not in args]
            os.kill(azurite, signal.SIGSTOP)
            self.stops += 1
            ending.wait(self.storage_away)
            os.kill(azurite, signal.SIGCONT)

    def _stack_processes(self) -> Iterator[tuple[int, str]]:
        assert self.stack.process is not None
        return iter(below(self.stack.process.pid).items())


def _environment(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    pairs = (entry.decode().partition("=") for entry in entries if entry)
    return {name: value for name, _, value in pairs}


class PatientClient:
    """What a client does that means it: it repeats a request until it is answered, under the same id."""

    def __init__(self, stack: Stack, addresses: list[str]) -> None:
        self._client = stack.client()
        self._client.timeout = httpx.Timeout(15)
        self._addresses = itertools.cycle(addresses)

    def close(self) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, **query: Any) -> httpx.Response:
        """Its answer, which is no outage."""
        headers = {} if method in ("GET", "DELETE") else sent(str(uuid4()))
        deadline = time.monotonic() + _PATIENCE
        while True:
            self._client.base_url = next(self._addresses)
            with suppress(httpx.TransportError):
                answer = self._client.request(method, path, json=body, params=query, headers=headers)
                if answer.status_code < 500 and answer.status_code != 429:
                    return answer
            assert time.monotonic() < deadline, f"{method} {path} was not answered"
            time.sleep(0.05)

    def all(self, collection: str, **query: Any) -> list[dict[str, Any]]:
        """All items of a list, page by page."""
        found: list[dict[str, Any]] = []
        query |= {"count": 100}
        while query:
            page = self.ask("GET", collection, **query).json()
            found += page["value"]
            query = dict(parse_qsl(urlsplit(page.get("nextLink", "")).query))
        return found

    def ended(self, location: str) -> dict[str, Any]:
        """The operation there, at its end."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            operation = self.ask("GET", location).json()
            if operation["state"] not in ("NotStarted", "Running"):
                return operation
            assert time.monotonic() < deadline, operation
            time.sleep(0.2)
