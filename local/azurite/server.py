"""An Azurite of one's own: three services on loopback, polled until they answer, stopped by the process that started it."""

import base64
import http.client
import os
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from local.azurite.install import SCRIPT, ensure_installed, node

ACCOUNT = "devstoreaccount1"
"""The emulator's one account. By its published key any web page could write into this machine's queues: it gets another."""
_READY_SECONDS = 30.0
_REPOSITORY = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class AzuriteAddress:
    """Where the three services listen, on loopback, and what they are called with."""

    blob: int
    queue: int
    table: int
    key: str = field(repr=False)
    """The account's key, in base64."""

    @property
    def blob_endpoint(self) -> str:
        """The account's blob endpoint."""
        return f"http://127.0.0.1:{self.blob}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        """What `AzureWebJobsStorage` takes."""
        endpoints = {"Blob": self.blob, "Queue": self.queue, "Table": self.table}
        parts = [f"{name}Endpoint=http://127.0.0.1:{port}/{ACCOUNT};" for name, port in endpoints.items()]
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={self.key};{''.join(parts)}"

    def command(self, data: Path | None) -> list[str]:
        """How to start it; without a data folder everything stays in memory."""
        places = ["--location", str(data)] if data else ["--inMemoryPersistence"]
        ports = ["--blobPort", str(self.blob), "--queuePort", str(self.queue), "--tablePort", str(self.table)]
        quiet = ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
        return [node(), str(SCRIPT), *places, *ports, *quiet]

    @property
    def environment(self) -> dict[str, str]:
        """What it must find in its environment: the account, with the key that it is to take."""
        return {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{self.key}"}

    def answers(self) -> bool:
        """Whether all three services answer."""
        return all(_answers(port) for port in (self.blob, self.queue, self.table))


class Azurite:
    """A running Azurite with nothing kept, for tests and benchmarks; use as a context manager. It ends when we do."""

    def __init__(self) -> None:
        blob, queue, table = free_ports(3)
        self.address = AzuriteAddress(blob, queue, table, new_key())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def connection_string(self) -> str:
        """What `AzureWebJobsStorage` takes."""
        return self.address.connection_string

    @property
    def blob_endpoint(self) -> str:
        """The account's blob endpoint."""
        return self.address.blob_endpoint

    def __enter__(self) -> Self:
        ensure_installed()
        tethered = [sys.executable, "-m", "local.tether", *self.address.command(None)]
        environment = {**os.environ, **self.address.environment}
        self._process = subprocess.Popen(
            tethered, cwd=_REPOSITORY, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _READY_SECONDS
        while not self.address.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise RuntimeError("Azurite did not start.")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.communicate()  # ends its standard input, and by that it
            self._process = None


def new_key() -> str:
    """A random account key."""
    return base64.b64encode(secrets.token_bytes(64)).decode()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True
