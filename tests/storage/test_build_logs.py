"""The promises of the port BuildLogs, kept by the twin and by append blobs alike; and what only blobs can show."""

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from azure.storage.blob.aio import BlobServiceClient

from shared.domain.accounts import Account
from shared.domain.ports import BuildLogs, Needed, Unneeded
from shared.storage.blobs import BlobAccount
from shared.storage.build_logs import BlobBuildLogs, log_name
from shared.storage.connection import StorageConnection
from shared.storage.log_collector import LogCollector
from shared.storage.memory import MemoryBuildLogs
from tests.waiting import until

ACCOUNT = Account("Sub", "Group #1", "local")


@pytest.fixture
async def blobs(azurite) -> AsyncIterator[BlobBuildLogs]:
    account = BlobAccount(StorageConnection.from_settings({"AzureWebJobsStorage": azurite.connection_string}))
    yield BlobBuildLogs(account)
    await account.close()


@pytest.fixture(params=["twin", "blobs"])
def logs(request, blobs) -> BuildLogs:
    return blobs if request.param == "blobs" else MemoryBuildLogs()


async def fetched(address: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(address)


async def read(logs: BuildLogs, image_id: str) -> str:
    if isinstance(logs, MemoryBuildLogs):
        return logs.text(ACCOUNT, image_id)
    return (await fetched(await logs.address(ACCOUNT, image_id))).text


async def test_a_log_can_be_read_while_it_is_written(logs):
    image_id = str(uuid4())
    async with logs.writing(ACCOUNT, image_id) as log:
        log.line("fetched model.pkl")

        async def arrived() -> bool:
            return "fetched model.pkl" in await read(logs, image_id)

        await until(arrived)
        log.line("pushed")
    assert (await read(logs, image_id)).splitlines()[-1].endswith("pushed")


async def test_a_step_that_runs_again_adds_to_the_log(logs):
    image_id = str(uuid4())
    for attempt in ("first", "second"):
        async with logs.writing(ACCOUNT, image_id) as log:
            await asyncio.to_thread(log.line, attempt)
    lines = (await read(logs, image_id)).splitlines()
    assert [line.split()[-1] for line in lines] == ["first", "second"]


async def test_a_signed_url_in_a_line_loses_its_signature(logs):
    image_id = str(uuid4())
    async with logs.writing(ACCOUNT, image_id) as log:
        log.line("fetching http://store/model.pkl?sig=SECRET&se=2030 failed")
    text = await read(logs, image_id)
    assert "http://store/model.pkl" in text
    assert "SECRET" not in text


async def test_what_was_said_before_a_failure_is_in_the_log(logs):
    image_id = str(uuid4())

    async def failing_build() -> None:
        async with logs.writing(ACCOUNT, image_id) as log:
            log.line("no wheel for this platform")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await failing_build()
    assert "no wheel for this platform" in await read(logs, image_id)


async def test_the_address_answers_plain_text(blobs):
    image_id = str(uuid4())
    async with blobs.writing(ACCOUNT, image_id) as log:
        log.line("naïve")
    answer = await fetched(await blobs.address(ACCOUNT, image_id))
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.endswith(" naïve\n")


async def test_the_log_cannot_be_read_without_the_signature_nor_written_with_it(blobs):
    image_id = str(uuid4())
    async with blobs.writing(ACCOUNT, image_id) as log:
        log.line("x")
    address = await blobs.address(ACCOUNT, image_id)
    assert (await fetched(address.partition("?")[0])).status_code in (403, 404)
    assert (await fetched(address.replace("sp=r", "sp=rw"))).status_code == 403
    async with httpx.AsyncClient() as client:
        assert (await client.delete(address)).status_code == 403


async def test_more_lines_than_the_buffer_takes_are_all_there_or_counted(blobs):
    image_id = str(uuid4())
    async with blobs.writing(ACCOUNT, image_id) as log:
        for number in range(1500):
            log.line(f"{number} " + "x" * 1900 + f"\n{number} again " + "x" * 1900)
    lines = (await read(blobs, image_id)).splitlines()
    kept = sum(line.endswith("x") for line in lines)
    (lost,) = [int(line.split()[1]) for line in lines if line.startswith("…")]
    assert lost > 0
    assert kept + lost == 3000


async def test_the_log_of_an_image_that_is_gone_is_removed_when_its_time_is_over(azurite):
    account = BlobAccount(StorageConnection.from_settings({"AzureWebJobsStorage": azurite.connection_string}))
    logs, collector = BlobBuildLogs(account), LogCollector(account)
    listed, gone = str(uuid4()), str(uuid4())
    for image_id in (listed, gone):
        async with logs.writing(ACCOUNT, image_id) as log:
            log.line("x")

    async def unneeded(logs_since: datetime) -> set[str]:
        wanted = Needed({}, frozenset({(ACCOUNT, listed)}), frozenset(), logs_since, logs_since, logs_since)
        names = {one.name async for one in collector.unneeded(wanted)}
        for name in names:
            await collector.remove(Unneeded("log", name, 0), wanted)
        return names

    now = datetime.now(UTC)
    assert log_name(ACCOUNT, gone) not in await unneeded(now - timedelta(hours=1))
    removed = await unneeded(now + timedelta(hours=1))
    assert log_name(ACCOUNT, gone) in removed
    assert log_name(ACCOUNT, listed) not in removed
    assert log_name(ACCOUNT, gone) not in await unneeded(now + timedelta(hours=1))
    await account.close()


async def test_what_a_log_says_so_far_is_read_and_nothing_where_there_is_none(logs):
    image_id = str(uuid4())
    assert await logs.read(ACCOUNT, image_id) == ""
    async with logs.writing(ACCOUNT, image_id) as log:
        log.line("first")
        log.line("last")
    first, last = (await logs.read(ACCOUNT, image_id)).splitlines()
    assert first.endswith("first")
    assert last.endswith("last")


async def test_of_a_very_long_log_the_last_whole_lines_are_read(blobs, azurite):
    image_id, line = str(uuid4()), b"x" * 1023 + b"\n"
    async with blobs.writing(ACCOUNT, image_id) as log:
        log.line("the first of all")
    async with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        blob = service.get_blob_client("build-logs", log_name(ACCOUNT, image_id))
        for _ in range(3):
            await blob.append_block(io.BytesIO(line * 3072))
    text = await blobs.read(ACCOUNT, image_id)
    assert 8 * 2**20 - len(line) <= len(text) <= 8 * 2**20
    assert set(text.splitlines()) == {"x" * 1023}
