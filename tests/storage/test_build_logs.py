import asyncio
from uuid import uuid4

import httpx
import pytest

from shared.domain.accounts import Account
from shared.storage.blobs import BlobBuildLogs
from shared.storage.connection import StorageConnection
from tests.waiting import until

ACCOUNT = Account("Sub", "Group #1", "local")


@pytest.fixture
async def logs(azurite):
    made = BlobBuildLogs(StorageConnection.from_settings({"AzureWebJobsStorage": azurite.connection_string}))
    yield made
    await made.close()


async def read(address: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(address)


async def test_a_log_can_be_read_by_its_address_while_it_is_written(logs):
    image_id = str(uuid4())
    async with logs.writing(ACCOUNT, image_id) as log:
        log.line("fetched model.pkl")
        address = await logs.address(ACCOUNT, image_id)

        async def arrived() -> bool:
            return "fetched model.pkl" in (await read(address)).text

        await until(arrived)
        log.line("pushed")
    answer = await read(address)
    assert answer.text.splitlines()[-1].endswith(" pushed")
    assert answer.headers["content-type"].startswith("text/plain")


async def test_a_step_that_runs_again_adds_to_the_log(logs):
    image_id = str(uuid4())
    for attempt in ("first", "second"):
        async with logs.writing(ACCOUNT, image_id) as log:
            await asyncio.to_thread(log.line, attempt)
    lines = (await read(await logs.address(ACCOUNT, image_id))).text.splitlines()
    assert [line.split()[-1] for line in lines] == ["first", "second"]


async def test_the_log_cannot_be_read_without_the_signature(logs):
    image_id = str(uuid4())
    async with logs.writing(ACCOUNT, image_id) as log:
        log.line("x")
    address = await logs.address(ACCOUNT, image_id)
    assert (await read(address.partition("?")[0])).status_code in (403, 404)
    assert (await read(address.replace("sp=r", "sp=rw"))).status_code == 403


async def test_a_signed_url_in_a_line_loses_its_signature(logs):
    image_id = str(uuid4())
    async with logs.writing(ACCOUNT, image_id) as log:
        log.line("fetching http://store/model.pkl?sig=SECRET&se=2030 failed")
    text = (await read(await logs.address(ACCOUNT, image_id))).text
    assert "http://store/model.pkl" in text
    assert "SECRET" not in text


async def test_more_lines_than_one_append_takes_are_all_there_or_counted(logs):
    image_id = str(uuid4())
    async with logs.writing(ACCOUNT, image_id) as log:
        for number in range(3000):
            log.line(f"{number} " + "x" * 1900)
    text = (await read(await logs.address(ACCOUNT, image_id))).text
    kept = sum(line.endswith("x") for line in text.splitlines())
    (lost,) = [int(line.split()[1]) for line in text.splitlines() if line.startswith("…")] or [0]
    assert kept + lost == 3000
