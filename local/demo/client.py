"""A caller of the API, as any HTTP client is."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from local.errors import DemoFailed
from local.progress import Progress
from local.stack import Running

API_VERSION = "2017-09-01-preview"


def check(condition: object, what: str) -> None:
    """Raises DemoFailed unless the condition holds."""
    if not condition:
        raise DemoFailed(what)


@dataclass
class Client:
    """A caller of the API, as any HTTP client is."""

    running: Running
    progress: Progress
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=60, trust_env=False))

    async def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        status: int,
        filters: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Call an endpoint of the account; raises DemoFailed for another status than the one that is right."""
        url = path if path.startswith("http") else f"{self.running.base_url}/{path}"
        headers = {"Authorization": f"Bearer {self.running.token}"}
        query = {"api-version": API_VERSION, **(filters or {})}
        answer = await self.http.request(method, url, params=query, json=body, headers=headers)
        check(answer.status_code == status, f"{method} {path} answered {answer.status_code}: {answer.text}")
        return answer

    async def get(self, path: str, **filters: str) -> Any:
        """What is at that path."""
        return (await self.call("GET", path, status=200, filters=filters)).json()

    async def finished(self, accepted: httpx.Response, what: str) -> str:
        """Poll the operation to its end, step by step; the id of what it made. Raises DemoFailed when it failed."""
        while True:
            operation = await self.get(accepted.headers["Operation-Location"])
            if operation["state"] == "Succeeded":
                return str(operation["resourceLocation"].rpartition("/")[2])
            check(operation["state"] in ("NotStarted", "Running"), f"the operation ended: {operation}")
            self.progress.begin(f"{what}: {_at_work(operation)}")
            await asyncio.sleep(0.1)

    async def score(self, uri: str, key: str, rows: list[list[float]]) -> httpx.Response:
        """Ask the service."""
        return await self.http.post(uri, json={"rows": rows}, headers={"Authorization": f"Bearer {key}"})


def _at_work(operation: dict[str, Any]) -> str:
    """The step that runs, and what it waits for."""
    steps = [step["name"] for step in operation["steps"] if step["state"] == "Running"]
    waiting = [operation["waitingFor"]] if operation.get("waitingFor") else []
    return ", ".join(steps + waiting) or "waiting for a worker"
