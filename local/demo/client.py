"""A caller of the API, as any HTTP client is."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx

from local.stack import Running

API_VERSION = "2017-09-01-preview"


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
