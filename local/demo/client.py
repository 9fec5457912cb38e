"""A caller of the API, as any HTTP client is, and the blobs it keeps what it registers in."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from azure.storage.blob import BlobSasPermissions, generate_blob_sas
from azure.storage.blob.aio import BlobServiceClient

from local.azurite.server import ACCOUNT, KEY
from local.stack import Running

API_VERSION = "2017-09-01-preview"
CONTAINER = "demo"


class DemoFailed(Exception):
    """Something was not as it should be."""


def check(condition: object, what: str) -> None:
    """Raises DemoFailed unless the condition holds."""
    if not condition:
        raise DemoFailed(what)


@dataclass
class Client:
    """A caller of the API, as any HTTP client is."""

    running: Running
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=60))

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, *, status: int) -> httpx.Response:
        """Call an endpoint of the account; raises DemoFailed for another status than the one that is right."""
        url = path if path.startswith("http") else f"{self.running.base_url}/{path}?api-version={API_VERSION}"
        headers = {"Authorization": f"Bearer {self.running.token}"}
        answer = await self.http.request(method, url, json=body, headers=headers)
        check(answer.status_code == status, f"{method} {path} answered {answer.status_code}: {answer.text}")
        return answer

    async def get(self, path: str) -> Any:
        """What is at that path."""
        return (await self.call("GET", path, status=200)).json()

    async def finished(self, accepted: httpx.Response) -> str:
        """Poll the operation to its end; the id of what it made. Raises DemoFailed when it failed."""
        while True:
            operation = await self.get(accepted.headers["Operation-Location"])
            if operation["state"] == "Succeeded":
                return str(operation["resourceLocation"].rpartition("/")[2])
            check(operation["state"] in ("NotStarted", "Running"), f"the operation ended: {operation}")
            await asyncio.sleep(0.1)

    async def score(self, uri: str, key: str, rows: list[list[float]]) -> httpx.Response:
        """Ask the service."""
        return await self.http.post(uri, json={"rows": rows}, headers={"Authorization": f"Bearer {key}"})


class Uploads:
    """Blobs with shared-access signatures: where clients keep what they register."""

    def __init__(self, running: Running) -> None:
        self._running = running

    async def put(self, name: str, content: bytes) -> str:
        """Upload under a folder of its own; a URL that reads it for an hour."""
        path = f"{uuid4().hex}/{name}"
        async with BlobServiceClient.from_connection_string(self._running.blob_connection_string) as service:
            container = service.get_container_client(CONTAINER)
            if not await container.exists():
                await container.create_container()
            await container.upload_blob(path, content)
        signature = generate_blob_sas(
            ACCOUNT,
            CONTAINER,
            path,
            account_key=KEY,
            permission=BlobSasPermissions(read=True),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        return f"{self._running.blob_endpoint}/{CONTAINER}/{path}?{signature}"
