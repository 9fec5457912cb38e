"""What operations cost: from acceptance to the first step, a step, the sweep. Run by `make bench NAME=operations`."""

import asyncio
import base64
import logging
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableClient
from azure.storage.queue.aio import QueueClient

from bench.reporting.measures import at_least, at_most, noted
from local.azurite.server import Azurite, free_ports
from local.home import Home
from local.stack import SUBSCRIPTION, Running, running_stack
from shared.clock import SystemClock
from shared.domain.accounts import Account
from shared.domain.documents import Change, Document, Insert, Stored
from shared.domain.errors import ServiceError
from shared.domain.events import Event
from shared.domain.ids import new_id
from shared.domain.operations import ErrorResponse, Operation, OperationType, State, StepStatus
from shared.orchestration.engine import Engine, Limits
from shared.orchestration.outcome import Done, Failure, Next, Outcome, Step, Wait
from shared.resources.announcing import AnnouncingStore
from shared.storage.connection import StorageConnection, transport
from shared.storage.queues import QueueSender, QueueWakeUps, parse_wake_up, wake_up
from shared.storage.rows import Row, Write, rows_of
from shared.storage.tables import TableStore

ACCOUNT = Account(SUBSCRIPTION, "local", "local")
CLOCK = SystemClock()
STEPS = ("first", "second", "third")
OPERATIONS = 160
WORKERS = 16
ROUNDS = 5
STALLED, TERMINAL = 100, int(os.environ.get("SLIPWAY_BENCH_OPERATIONS", "100000"))
SWEEPS = 9


class Nothing:
    """A workflow of three steps that do nothing."""

    @property
    def steps(self) -> Mapping[str, Step]:
        return {"first": self._first, "second": self._second, "third": self._third}

    async def _first(self, account: Account, operation: Operation) -> Outcome:
        return Next("second")

    async def _second(self, account: Account, operation: Operation) -> Outcome:
        return Next("third")

    async def _third(self, account: Account, operation: Operation) -> Outcome:
        return Done(())

    def overdue(self, operation: Operation) -> ServiceError:
        return ServiceError("overdue")

    async def undo(self, account: Account, operation: Operation) -> Wait | None:
        return None

    async def failed(self, account: Account, operation: Operation, error: ErrorResponse) -> Failure:
        return Failure(error)

    async def cancelled(self, account: Account, operation: Operation) -> Sequence[Change]:
        return ()


class Storage:
    """An Azurite with what Slipway keeps there, and the raw clients of the same table and queue."""

    def __init__(self, text: str) -> None:
        self.connection = StorageConnection.from_settings({"AzureWebJobsStorage": text})
        self.table_name, self.queue_name = f"t{uuid4().hex}", f"q{uuid4().hex}"
        self.rows = TableStore(self.connection, self.table_name)
        self.sender = QueueSender(self.connection, self.queue_name)
        self.wake_ups = QueueWakeUps(self.sender)
        store = AnnouncingStore(self.rows, CLOCK, [Event], lambda _: None)
        self.engine = Engine(store, self.wake_ups, CLOCK, {"nothing": Nothing()}, owner="bench", limits=Limits())
        self.store = store

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[tuple[TableClient, QueueClient]]:
        """The SDK's own clients, with the same transport as Slipway's."""
        secret = self.connection.credential()
        table = TableClient(self.connection.table, self.table_name, credential=secret, transport=transport())
        queue = QueueClient(self.connection.queue, self.queue_name, credential=secret, transport=transport())
        async with table, queue:
            yield table, queue


@asynccontextmanager
async def prepared(text: str) -> AsyncIterator[Storage]:
    """With its table and its queue, both empty."""
    storage = Storage(text)
    async with storage.raw() as (table, queue):
        await table.create_table()
        await queue.create_queue()
    yield storage
    await storage.rows.close()
    await storage.sender.close()


def operation(**fields: Any) -> Operation:
    now = CLOCK.now()
    given: dict[str, Any] = {
        "id": new_id(now, CLOCK.random_bits),
        "operation_type": OperationType.IMAGE,
        "created_time": now,
        "resource_id": str(uuid4()),
        "workflow": "nothing",
        "step": "first",
        "steps": tuple(StepStatus(name=step) for step in STEPS),
        "not_before": now,
        "deadline": now + timedelta(hours=1),
    }
    return Operation(**{**given, **fields})


async def workflow(storage: Storage, queue: QueueClient) -> float:
    """Operations of three steps a second: accepted, woken, received, run and done with."""
    waiting = iter(range(OPERATIONS))

    async def work() -> None:
        for _ in waiting:
            accepted = operation()
            await storage.store.commit(ACCOUNT, [Insert(accepted)])
            await storage.wake_ups.wake(ACCOUNT, accepted)
            message = await received(queue)
            woken = parse_wake_up(base64.b64decode(message.content))
            await storage.engine.run(woken.account, woken.operation_id)
            await queue.delete_message(message)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(WORKERS)))
    return OPERATIONS / (time.perf_counter() - began)


async def raw_workflow(table: TableClient, queue: QueueClient, commits: Sequence[Sequence[Row]]) -> float:
    """The same calls by the SDK: insert, send, receive, read, the other commits, delete; the same rows in each."""
    waiting = iter(range(OPERATIONS))
    text = base64.b64encode(wake_up(ACCOUNT, operation()).encode()).decode()

    async def work() -> None:
        for _ in waiting:
            life = uuid4().hex
            await raw_commit(table, life, commits[0])
            await queue.send_message(text)
            message = await received(queue)
            await table.get_entity(ACCOUNT.scope, f"{life}:{commits[0][0].key}")
            for rows in commits[1:]:
                await raw_commit(table, life, rows)
            await queue.delete_message(message)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(WORKERS)))
    return OPERATIONS / (time.perf_counter() - began)


class Recorder(TableStore):
    """The table store, keeping the rows of each commit."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage.connection, storage.table_name)
        self.commits: list[Sequence[Row]] = []

    async def commit(self, account: Account, changes: Sequence[Change]) -> Sequence[Stored[Document]]:
        self.commits.append(rows_of(changes))
        return await super().commit(account, changes)


async def recorded(storage: Storage) -> Sequence[Sequence[Row]]:
    """The rows that each commit of an operation's life writes, from its acceptance to its end."""
    recorder, accepted = Recorder(storage), operation()
    store = AnnouncingStore(recorder, CLOCK, [Event], lambda _: None)
    await store.commit(ACCOUNT, [Insert(accepted)])
    engine = Engine(store, storage.wake_ups, CLOCK, {"nothing": Nothing()}, owner="bench", limits=Limits())
    await engine.run(ACCOUNT, accepted.id)
    await recorder.close()
    return recorder.commits


async def raw_commit(table: TableClient, life: str, rows: Sequence[Row]) -> None:
    """Those rows, as new ones of that life."""
    entities = [{"PartitionKey": ACCOUNT.scope, "RowKey": f"{life}:{row.key}", **row.properties} for row in rows]
    if len(rows) == 1:
        await table.upsert_entity(entities[0], mode=UpdateMode.REPLACE)
        return
    replace = {"mode": UpdateMode.REPLACE}
    kinds = {Write.CREATE: "create", Write.DELETE: "delete"}
    await table.submit_transaction(
        [
            (kinds[row.write], entity) if row.write in kinds else ("upsert", entity, replace)
            for row, entity in zip(rows, entities, strict=True)
        ]
    )


async def received(queue: QueueClient) -> Any:
    async for message in queue.receive_messages(max_messages=1, visibility_timeout=60):
        return message
    raise AssertionError("a message that was sent is not there")


async def throughput(storage: Storage) -> None:
    """Slipway and the SDK in turn, with the same number of callers in one process."""
    ours, raw, commits = [], [], await recorded(storage)
    async with storage.raw() as (table, queue):
        for turn in range(ROUNDS + 1):
            raw_rate, our_rate = await raw_workflow(table, queue, commits), await workflow(storage, queue)
            if turn:  # the first warms both up
                raw.append(raw_rate)
                ours.append(our_rate)
    noted(
        f"three steps that do nothing, operations a second by Slipway, {WORKERS} workers", f"{statistics.median(ours):.0f}"
    )
    noted(f"the same calls by the raw SDK, {WORKERS} callers", f"{statistics.median(raw):.0f}")
    ratio = statistics.median(one / other for one, other in zip(ours, raw, strict=True))
    at_least("three steps that do nothing, Slipway against the raw SDK", ratio, 0.5)


async def calls_of_a_step(storage: Storage) -> None:
    """Every request to storage from the moment a wake-up has come until the operation has ended."""
    accepted = operation()
    await storage.store.commit(ACCOUNT, [Insert(accepted)])
    sent, send = 0, AioHttpTransport.send

    async def counted(self: AioHttpTransport, *given: Any, **named: Any) -> Any:
        nonlocal sent
        sent += 1
        return await send(self, *given, **named)

    AioHttpTransport.send = counted  # type: ignore[method-assign]
    try:
        await storage.engine.run(ACCOUNT, accepted.id)
    finally:
        AioHttpTransport.send = send  # type: ignore[method-assign]
    at_most("storage calls a step, of three steps", sent / len(STEPS), 3)


async def sweeps(storage: Storage) -> None:
    """The sweep over what is stalled, with few and with many that have ended beside it."""
    stalled = [operation() for _ in range(STALLED)]
    async with storage.raw() as (table, queue):
        await seed(table, stalled)
        alone = await sweep_time(storage, queue)
        began = time.perf_counter()
        ended = {"state": State.SUCCEEDED, "end_time": CLOCK.now()}
        for start in range(0, TERMINAL, 1000):
            await seed(table, [operation(**ended) for _ in range(min(1000, TERMINAL - start))])
        noted(f"seeded {TERMINAL} that have ended", f"{time.perf_counter() - began:.0f} s")
        among = await sweep_time(storage, queue)
    noted(f"sweep of {STALLED} stalled, alone and among {TERMINAL}", f"{alone * 1000:.0f} ms, {among * 1000:.0f} ms")
    at_most(f"sweep of {STALLED} stalled among {TERMINAL} that have ended, against alone", among / alone, 2.0)


async def sweep_time(storage: Storage, queue: QueueClient) -> float:
    times = []
    for _ in range(SWEEPS):
        began = time.perf_counter()
        woken = await storage.engine.sweep(ACCOUNT)
        times.append(time.perf_counter() - began)
        assert woken == STALLED
        await queue.clear_messages()
    return statistics.median(times)


async def seed(table: TableClient, operations: Sequence[Operation]) -> None:
    """Written as the store writes them, but many in a transaction."""
    rows = [row for one in operations for row in rows_of([Insert(one)])]
    entities = [{"PartitionKey": ACCOUNT.scope, "RowKey": row.key, **row.properties} for row in rows]
    for start in range(0, len(entities), 100):
        await table.submit_transaction([(Write.CREATE.value, entity) for entity in entities[start : start + 100]])


async def first_steps() -> None:
    """From the answer to a request until its first step runs, on a host that was idle."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        cache = Path(__file__).parent.parent / ".slipway" / "cache"
        async with running_stack(Home(Path(folder)), free_ports(1)[0], cache) as running:
            headers = {"Authorization": f"Bearer {running.token}"}
            async with aiohttp.ClientSession(headers=headers) as session:
                times = [await first_step(session, running) for _ in range(12)]
    at_most("accepted to the first step running, idle host, median of 12", statistics.median(times), 0.5, " s")
    noted("accepted to the first step running, idle host, slowest of 12", f"{max(times):.2f} s")


async def first_step(session: aiohttp.ClientSession, running: Running) -> float:
    version = {"api-version": "2017-09-01-preview"}
    driver = {"id": "driver", "url": "http://127.0.0.1:1/driver.py"}
    runtime = {"runtimeType": "Python", "properties": {}}
    body = {"name": "bench", "driverProgram": "driver", "assets": [driver], "targetRuntime": runtime}
    async with session.post(f"{running.base_url}/manifests", params=version, json=body) as answer:
        manifest = await answer.json()
    build = {"name": "bench", "manifestId": manifest["id"], "imageType": "Docker"}
    await asyncio.sleep(4)  # as long as the queue's polling takes to slow down to its slowest
    request = {**build, "computeResourceId": running.compute_resource_id}
    async with session.post(f"{running.base_url}/images", params=version, json=request) as answer:
        location = answer.headers["Operation-Location"]
    began = time.perf_counter()
    while True:
        async with session.get(location, params=version) as shown:
            if (await shown.json())["state"] != "NotStarted":
                return time.perf_counter() - began
        await asyncio.sleep(0.005)


async def main() -> None:
    logging.getLogger("azure").setLevel(logging.ERROR)
    await first_steps()
    with Azurite() as azurite:
        async with prepared(azurite.connection_string) as storage:
            await throughput(storage)
            await calls_of_a_step(storage)
        async with prepared(azurite.connection_string) as storage:
            await sweeps(storage)


if __name__ == "__main__":
    asyncio.run(main())
