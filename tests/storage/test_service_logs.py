"""Logs of replicas that are gone: one contract for the twin and for Blob Storage."""

import pytest

from shared.domain.accounts import Account
from shared.domain.computing import ReplicaLog
from shared.storage.blobs import BlobAccount
from shared.storage.connection import StorageConnection
from shared.storage.memory import MemoryServiceLogs
from shared.storage.service_logs import BlobServiceLogs

ONE, OTHER = Account("s", "g", "one"), Account("s", "g", "other")
CRASHED = ReplicaLog("pod-1", "previous", ("a line", "", "a last line: ü"))


@pytest.fixture(params=["twin", "azurite"])
async def logs(request, azurite):
    if request.param == "twin":
        yield MemoryServiceLogs()
        return
    blobs = BlobAccount(StorageConnection.from_settings({"AzureWebJobsStorage": azurite.connection_string}))
    yield BlobServiceLogs(blobs)
    await blobs.close()


async def test_nothing_is_kept_of_a_service_that_never_failed(logs):
    assert not await logs.kept(ONE, "never")


async def test_what_is_kept_takes_the_place_of_what_was(logs):
    await logs.keep(ONE, "service", [ReplicaLog("pod-0", "", ("before",))])
    await logs.keep(ONE, "service", [CRASHED])
    assert list(await logs.kept(ONE, "service")) == [CRASHED]
    assert not await logs.kept(OTHER, "service")


async def test_what_is_removed_is_kept_no_more_and_may_be_removed_again(logs):
    await logs.keep(ONE, "gone", [CRASHED])
    await logs.remove(ONE, "gone")
    await logs.remove(ONE, "gone")
    assert not await logs.kept(ONE, "gone")
