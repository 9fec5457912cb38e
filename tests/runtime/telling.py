"""Replicas that tell: real telling processes, and requests that were answered."""

import asyncio
import csv
import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient

from runtime.slipway_server.http.messages import Headers, Request, Response
from runtime.slipway_server.telling.teller import Teller
from tests.waiting import until

MAP = {
    "accountContext": {"subscriptionId": "sub", "resourceGroupName": "group", "accountName": "account"},
    "models": {"iris": {"id": "0b5c", "version": 3}},
}


def app(folder: Path, described: Mapping[str, Any] | None = MAP) -> Path:
    """The app's folder of an image."""
    folder.mkdir(exist_ok=True)
    if described is not None:
        (folder / "model_config_map.json").write_text(json.dumps(described))
    return folder


def request(body: Any, *, id: str = "r1", **headers: str) -> Request:  # noqa: A002
    """A request to score."""
    fields = Headers([("x-request-id", id), *((name.replace("_", "-"), value) for name, value in headers.items())])
    return Request.of("POST", "/score", fields, _bytes(body), keep_alive=True)


def answered(teller: Teller, body: Any, prediction: Any, *, status: int = 200, at: float | None = None, **more: str) -> None:
    """Tell of a request that was answered, now or at that time."""
    began = time.time() if at is None else at
    teller.scored(request(body, **more), Response(status, _bytes(prediction)), began, 0.25)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


class Kept:
    """What is in the container of collected data."""

    def __init__(self, connection_string: str) -> None:
        self._container = ContainerClient.from_connection_string(connection_string, "modeldata")

    def names(self, start: str) -> list[str]:
        try:
            return sorted(blob.name for blob in self._container.list_blobs(name_starts_with=start))
        except ResourceNotFoundError:
            return []

    def text(self, name: str) -> str:
        return self._container.download_blob(name).readall().decode()

    def rows(self, name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.text(name), newline=""), strict=True))

    def all_rows(self, start: str) -> list[dict[str, str]]:
        return [row for name in self.names(start) for row in self.rows(name)]

    async def until(self, start: str, count: int) -> list[dict[str, str]]:
        """All rows of the blobs whose name starts so, once there are so many."""

        async def are_there() -> bool:
            return len(self.all_rows(start)) >= count

        await until(are_there)
        return self.all_rows(start)

    def close(self) -> None:
        self._container.close()


def count(teller: Teller, name: str, destination: str = "") -> int:
    """A number of the metrics."""
    labels = f'{{destination="{destination}"}}' if destination else ""
    lines = dict(line.rsplit(" ", 1) for line in teller.metrics().splitlines() if not line.startswith("#"))
    return int(lines[f"slipway_{name}_total{labels}"])


async def at_work(teller: Teller, destination: str = "storage") -> None:
    """Wait until its process has started and told, or lost, what it was first given: only then has its end a known bound."""

    async def is_at_work() -> bool:
        return count(teller, "told", destination) + count(teller, "lost", destination) > 0

    await until(is_at_work)


class Between:
    """A way to storage that is not to be relied on: a port of loopback that leads to its own.

    The answers to that many appends are lost after the append was made; to that many it is said that the blob is full.
    """

    def __init__(self, to: int, *, port: int = 0, lost_answers: int = 0, full_blobs: int = 0) -> None:
        self._to = to
        self._port = port
        self.lost_answers = lost_answers
        self.full_blobs = full_blobs

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._server.close_clients()
        await self._server.wait_closed()

    def in_place_of(self, connection_string: str) -> str:
        """The connection string, with this way to the blobs."""
        return connection_string.replace(f":{self._to}/", f":{self._port}/")

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        storage_reader, storage_writer = await asyncio.open_connection("127.0.0.1", self._to)
        losing = asyncio.Event()

        async def there() -> None:
            while data := await reader.read(65536):
                if b"comp=appendblock" in data and self.full_blobs:
                    self.full_blobs -= 1
                    writer.write(_FULL)
                    await reader.read()
                    return
                if b"comp=appendblock" in data and self.lost_answers:
                    self.lost_answers -= 1
                    losing.set()
                storage_writer.write(data)

        async def back() -> None:
            while (data := await storage_reader.read(65536)) and not losing.is_set():
                writer.write(data)

        ways = [asyncio.create_task(there()), asyncio.create_task(back())]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, storage_writer):
            end.close()


_FULL = b"HTTP/1.1 409 Conflict\r\nx-ms-error-code: BlockCountExceedsLimit\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
