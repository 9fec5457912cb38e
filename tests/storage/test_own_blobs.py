"""Which URLs are signed by the app's identity: blobs of the containers that the operator names, and no other."""

from collections.abc import AsyncIterator

import httpx
import pytest

from shared.storage.blobs import BlobAccount
from shared.storage.connection import StorageConnection
from shared.storage.own_blobs import OwnBlobs


@pytest.fixture
async def account(azurite) -> AsyncIterator[BlobAccount]:
    made = BlobAccount(StorageConnection.from_settings({"AzureWebJobsStorage": azurite.connection_string}))
    yield made
    await made.close()


async def test_a_blob_of_a_named_container_is_read_by_the_apps_identity(account):
    blob = await account.blob("models", "a folder/model é.pkl")
    await blob.upload_blob(b"weights", overwrite=True)
    async with httpx.AsyncClient() as client:
        assert (await client.get(blob.url)).status_code in (403, 404, 409)
        answer = await client.get(await OwnBlobs(account, ["models"]).signed(blob.url))
    assert (answer.status_code, answer.content) == (200, b"weights")


@pytest.mark.parametrize(
    "url",
    [
        "{own}/keep/contents/sha256/1",
        "{own}/build-logs/x.log",
        "{own}/models/x?sv=1&sig=mine",
        "{own}/models",
        "{own}/",
        "https://other.blob.core.windows.net/models/x",
        "{own}.example.org/models/x",
    ],
)
async def test_any_other_url_stays_as_it_is(account, url):
    given = url.format(own=account.url)
    assert await OwnBlobs(account, ["models"]).signed(given) == given


async def test_a_path_does_not_leave_its_container(account):
    signed = await OwnBlobs(account, ["models"]).signed(f"{account.url}/models/../keep/x")
    async with httpx.AsyncClient() as client:
        assert (await client.get(signed)).status_code in (400, 403, 404)
