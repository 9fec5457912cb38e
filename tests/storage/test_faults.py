"""What storage answers when it is ill, and what the ports then say: an HTTP server that answers as the test wants."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import pytest
from aiohttp import web

from shared.domain.accounts import Account
from shared.domain.documents import Claim
from shared.domain.errors import ServiceError, Throttled, TooLarge, Unavailable
from shared.storage.blobs import BlobAccount
from shared.storage.build_logs import BlobBuildLogs
from shared.storage.connection import StorageConnection
from shared.storage.keep import BlobKeep
from shared.storage.queues import WAKE_UPS, QueueSender
from shared.storage.tables import TableStore

ACCOUNT = Account("sub", "group", "local")
KEY = "c2VjcmV0LWtleQ=="


@dataclass
class IllStorage:
    """Takes the making of tables, queues and containers, and answers everything else with `status`; None hangs up."""

    address: str
    status: int | None = 503
    calls: int = 0

    @property
    def connection(self) -> StorageConnection:
        return StorageConnection("acc", *[f"{self.address}/acc"] * 3, KEY)

    async def answer(self, request: web.Request) -> web.Response:
        if request.path.endswith("/Tables"):
            return web.json_response({}, status=201)
        if request.method == "PUT" and request.path in ("/acc/operations", "/acc/build-logs"):
            return web.Response(status=201)
        self.calls += 1
        if self.status is None:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=self.status or 200)


@asynccontextmanager
async def serving(ill: IllStorage) -> AsyncIterator[None]:
    server = web.Application()
    server.router.add_route("*", "/{path:.*}", ill.answer)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    ill.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
async def storage() -> AsyncIterator[IllStorage]:
    ill = IllStorage("")
    async with serving(ill):
        yield ill


class BreaksCopies(IllStorage):
    """Has one blob, once a copy to it was begun; that ends as `copied`."""

    begun = 0
    copied = "failed"

    async def answer(self, request: web.Request) -> web.Response:
        await request.read()
        if "x-ms-copy-source" in request.headers:
            self.begun += 1
            return web.Response(status=202, headers={"x-ms-copy-id": "1", "x-ms-copy-status": "pending"})
        if request.method == "HEAD":
            headers = {"x-ms-copy-status": self.copied, "Content-Length": "7"}
            return web.Response(status=200 if self.begun else 404, headers=headers)
        statuses = {"DELETE": 202, "PUT": 200 if request.query.get("comp") == "metadata" else 201}
        return web.Response(status=statuses[request.method])


async def test_what_could_not_be_copied_is_not_kept_and_is_copied_again():
    storage = BreaksCopies("")
    async with serving(storage):
        blobs = BlobAccount(storage.connection)
        keep = BlobKeep(blobs)

        async def kept() -> None:
            async with keep.incoming() as coming:
                await coming.write(b"content")
                await coming.keep_as("contents/x")

        for _ in range(2):
            with pytest.raises(Unavailable, match="the copy ended as failed"):
                await kept()
        assert (storage.begun, await keep.size("contents/x")) == (2, None)
        storage.copied = "success"
        await kept()
        assert (storage.begun, await keep.size("contents/x")) == (2, 7)
        await blobs.close()


@pytest.mark.parametrize(
    ("status", "kind", "code", "retryable"),
    [
        (429, Throttled, "StorageThrottled", True),
        (500, Unavailable, "StorageUnavailable", True),
        (503, Unavailable, "StorageUnavailable", True),
        (None, Unavailable, "StorageUnavailable", True),
        (401, ServiceError, "StorageAccessDenied", False),
        (403, ServiceError, "StorageAccessDenied", False),
        (413, TooLarge, "TooLarge", False),
        (400, ServiceError, "StorageFailed", False),
    ],
)
async def test_a_failed_commit_says_whether_trying_again_can_help_and_was_sent_once(storage, status, kind, code, retryable):
    storage.status = status
    store = TableStore(storage.connection)
    with pytest.raises(kind) as caught:
        await store.commit(ACCOUNT, [Claim("name", "x")])
    await store.close()
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert storage.calls == 1
    assert KEY not in str(caught.value)


async def test_a_read_that_is_refused_names_the_identity(storage):
    storage.status = 403
    store = TableStore(storage.connection)
    with pytest.raises(ServiceError) as caught:
        await store.held(ACCOUNT, "name")
    await store.close()
    assert caught.value.code == "StorageAccessDenied"


async def test_a_refused_wake_up_names_the_identity(storage):
    storage.status = 403
    sender = QueueSender(storage.connection, WAKE_UPS)
    with pytest.raises(ServiceError) as caught:
        await sender.send("wake up")
    await sender.close()
    assert caught.value.code == "StorageAccessDenied"


async def test_a_log_that_cannot_be_written_does_not_stop_the_build_and_an_operator_is_told(storage, caplog):
    storage.status = 403
    account = BlobAccount(storage.connection)
    logs = BlobBuildLogs(account)
    async with logs.writing(ACCOUNT, str(uuid4())) as log:
        log.line("installed")
    await account.close()
    assert "refused this app's identity with 403" in caplog.text


def test_a_connection_does_not_show_its_key():
    connection = StorageConnection.from_settings(
        {"AzureWebJobsStorage": f"DefaultEndpointsProtocol=https;AccountName=acc;AccountKey={KEY}"}
    )
    assert connection.table == "https://acc.table.core.windows.net"
    assert KEY not in repr(connection)
