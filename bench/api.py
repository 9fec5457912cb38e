"""The API against the raw storage SDK, and lists against the size of the account. Run by `make bench NAME=api`."""

import asyncio
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
from azure.core import MatchConditions
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableClient

from bench.reporting.measures import at_least, at_most, milliseconds, noted
from local.azurite.server import free_ports
from local.home import Home
from local.stack import SUBSCRIPTION, Running, running_stack
from shared.clock import SystemClock
from shared.domain.accounts import Account
from shared.domain.documents import Insert
from shared.domain.ids import created_at, new_id
from shared.domain.models import Model
from shared.storage.connection import StorageConnection
from shared.storage.rows import Write, list_prefix, prefix_end, rows_of
from shared.storage.tables import TABLE

ACCOUNT = Account(SUBSCRIPTION, "local", "local")
CALLERS = 16
PAIRS = 25
ROUNDS = 7
SMALL, LARGE = 1_000, int(os.environ.get("SLIPWAY_BENCH_MODELS", "100000"))
PER_NAME = 200
V = {"api-version": "2017-09-01-preview"}


class Api:
    """The API, called as cheaply as an HTTP client can."""

    def __init__(self, running: Running, session: aiohttp.ClientSession) -> None:
        self.running = running
        self._session = session

    async def get(self, path: str, **query: str) -> Any:
        url = path if path.startswith("http") else f"{self.running.base_url}/{path}"
        async with self._session.get(url, params={**V, **query}, headers=self._headers) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def post(self, path: str, body: dict[str, Any]) -> aiohttp.ClientResponse:
        url = f"{self.running.base_url}/{path}"
        async with self._session.post(url, params=V, json=body, headers=self._headers) as answer:
            answer.raise_for_status()
            await answer.read()
            return answer

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.running.token}"}


async def timed(work: Callable[[int], Awaitable[None]]) -> float:
    """Pairs a second of all callers at once."""
    began = time.perf_counter()
    await asyncio.gather(*(work(caller) for caller in range(CALLERS)))
    return CALLERS * PAIRS / (time.perf_counter() - began)


async def register_and_get(api: Api, caller: int) -> None:
    body = {"name": f"bench-{caller}", "url": "http://store/model.pkl", "mimeType": "application/json"}
    for _ in range(PAIRS):
        registered = await (await api.post("models", body)).json()
        await api.get(f"models/{registered['id']}")


async def raw_register_and_get(table: TableClient, caller: int) -> None:
    """The storage calls of one register and one get, and nothing else: read the claim, commit three rows, read one."""
    scope, claim = "raw", f"claim:latest-version:model:bench-{caller}"
    text = "x" * 250
    await table.upsert_entity({"PartitionKey": scope, "RowKey": claim, "value": "0"})
    for _ in range(PAIRS):
        key = uuid4().hex
        held = await table.get_entity(scope, claim)
        condition = {"etag": held.metadata["etag"], "match_condition": MatchConditions.IfNotModified}
        await table.submit_transaction(
            [
                (
                    "update",
                    {"PartitionKey": scope, "RowKey": claim, "value": "1"},
                    {"mode": UpdateMode.REPLACE, **condition},
                ),
                ("create", {"PartitionKey": scope, "RowKey": f"model:{key}", "d0": text}),
                ("create", {"PartitionKey": scope, "RowKey": f"model-by-name:bench-{caller}:{key}", "d0": text}),
            ]
        )
        await table.get_entity(scope, f"model:{key}")


async def throughput(api: Api, table: TableClient) -> None:
    """Registering and getting, side by side with the SDK's own calls, in turn."""
    ours, raw = [], []
    for round_number in range(ROUNDS + 1):
        raw_rate = await timed(lambda caller: raw_register_and_get(table, caller))
        our_rate = await timed(lambda caller: register_and_get(api, caller))
        if round_number:  # the first warms both up
            raw.append(raw_rate)
            ours.append(our_rate)
    noted("register+get, pairs a second by the API, 16 callers", f"{statistics.median(ours):.0f}")
    noted("register+get, pairs a second by the raw SDK, 16 callers", f"{statistics.median(raw):.0f}")
    ratio = statistics.median(one / other for one, other in zip(ours, raw, strict=True))
    at_least("register+get, API against raw SDK", ratio, 0.6)


async def wake_ups(api: Api) -> None:
    """From a wake-up's arrival to the operation showing Running, the host having been idle."""
    driver = {"id": "driver", "url": "http://127.0.0.1:1/driver.py"}
    runtime = {"runtimeType": "Python", "properties": {}}
    body = {"name": "bench", "driverProgram": "driver", "assets": [driver], "targetRuntime": runtime}
    manifest = await (await api.post("manifests", body)).json()
    request = {
        "name": "bench",
        "manifestId": manifest["id"],
        "imageType": "Docker",
        "computeResourceId": api.running.compute_resource_id,
    }
    times = []
    for _ in range(12):
        await asyncio.sleep(4)  # as long as the queue's polling takes to slow down to its slowest
        accepted = await api.post("images", request)
        began = time.perf_counter()
        await until_running(api, accepted.headers["Operation-Location"])
        times.append(time.perf_counter() - began)
    at_most("accepted to Running, idle host, median", statistics.median(times), 1.0, " s")
    at_most("accepted to Running, idle host, slowest of 12", max(times), 1.0, " s")


async def until_running(api: Api, operation: str) -> None:
    while (await api.get(operation))["state"] == "NotStarted":  # noqa: ASYNC110  # a client has nothing else to wait for
        await asyncio.sleep(0.005)


async def pages(api: Api, table: TableClient) -> None:
    """Pages of 100 by name and by tag, with few and with many models in the account."""
    seeded = await seed(table, 0, SMALL)
    small = await page_times(api, table)
    await seed(table, seeded, LARGE)
    large = await page_times(api, table)
    for name, few in small.items():
        noted(f"page of 100 {name}, {SMALL} and {LARGE} models", f"{milliseconds(few)}, {milliseconds(large[name])}")
    for name in ("by name", "by tag"):
        ratio = statistics.median(large[name]) / statistics.median(small[name])
        at_most(f"page of 100 {name}, {LARGE} models against {SMALL}", ratio, 1.3)
        ours = statistics.median(large[name]) - statistics.median(large[f"{name}, raw SDK"])
        before = statistics.median(small[name]) - statistics.median(small[f"{name}, raw SDK"])
        noted(
            f"page of 100 {name}, what Slipway adds to the store's own query",
            f"{before * 1000:.1f} ms, {ours * 1000:.1f} ms",
        )


async def page_times(api: Api, table: TableClient) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {}
    for name, query in (("by name", {"name": "seed-3"}), ("by tag", {"tag": "tag-3"})):
        for _ in range(15):
            began = time.perf_counter()
            page = await api.get("models", count="100", **query)
            times.setdefault(name, []).append(time.perf_counter() - began)
            assert len(page["value"]) == 100
            began = time.perf_counter()
            await raw_page(table, query)
            times.setdefault(f"{name}, raw SDK", []).append(time.perf_counter() - began)
    return times


async def raw_page(table: TableClient, query: dict[str, str]) -> None:
    prefix = list_prefix(Model, query)
    parameters = {"scope": ACCOUNT.scope, "start": prefix, "end": prefix_end(prefix)}
    text = "PartitionKey eq @scope and RowKey gt @start and RowKey lt @end"
    found = table.query_entities(text, parameters=parameters, results_per_page=101).by_page()
    async for page in found:
        assert len([entity async for entity in page]) >= 100
        return


async def seed(table: TableClient, start: int, end: int) -> int:
    """Models of that account, written as the store writes them, but many in a transaction."""
    clock, pending = SystemClock(), []
    began = time.perf_counter()
    for number in range(start, end):
        identifier = new_id(clock.now(), clock.random_bits)
        model = Model(
            id=identifier,
            name=f"seed-{number // PER_NAME}",
            tags=(f"tag-{number // PER_NAME}",),
            url="http://store/model.pkl",
            mime_type="application/json",
            version=number % PER_NAME + 1,
            created_at=created_at(identifier),
        )
        pending += rows_of([Insert(model)])
        if len(pending) >= 96 or number == end - 1:
            rows = [{"PartitionKey": ACCOUNT.scope, "RowKey": row.key, **row.properties} for row in pending]
            await table.submit_transaction([(Write.CREATE.value, row) for row in rows])
            pending = []
    noted(f"seeded to {end} models", f"{time.perf_counter() - began:.0f} s")
    return end


async def main() -> None:
    logging.getLogger("azure").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        cache = Path(__file__).parent.parent / ".slipway" / "cache"
        async with running_stack(Home(Path(folder)), free_ports(1)[0], cache) as running:
            connection = StorageConnection.from_settings({"AzureWebJobsStorage": running.blob_connection_string})
            table = TableClient(connection.table, TABLE, credential=connection.credential())
            async with table, aiohttp.ClientSession() as session:
                api = Api(running, session)
                await throughput(api, table)
                await wake_ups(api)
                await pages(api, table)


if __name__ == "__main__":
    asyncio.run(main())
