"""The promises of the port Keep, kept by the twin and by block blobs alike."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from shared.domain.errors import Unavailable
from shared.domain.ports import Keep
from shared.storage.blobs import BlobAccount
from shared.storage.connection import StorageConnection
from shared.storage.keep import BlobKeep
from shared.storage.memory import MemoryKeep


class Now:
    """The real time, as the blobs have it."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture(params=["twin", "blobs"])
async def keep(request, azurite) -> AsyncIterator[Keep]:
    if request.param == "twin":
        yield MemoryKeep(Now())
        return
    account = BlobAccount(StorageConnection.from_settings({"AzureWebJobsStorage": azurite.connection_string}))
    yield BlobKeep(account)
    await account.close()


@pytest.fixture
def name() -> str:
    return f"layers/{uuid4().hex}.json"


async def read(keep: Keep, name: str, *part: int) -> bytes:
    return b"".join([chunk async for chunk in keep.read(name, *part)])


async def test_what_was_put_is_got_and_another_takes_its_place(keep, name):
    assert await keep.get(name) is None
    await keep.put(name, b"first")
    await keep.put(name, b"second")
    assert (await keep.get(name), await keep.size(name)) == (b"second", 6)


async def test_something_large_is_there_when_it_has_a_name_and_not_before(keep, name):
    pieces = [bytes([number]) * 1_500_000 for number in range(5)]
    async with keep.incoming() as coming:
        for piece in pieces:
            await coming.write(piece)
        assert await keep.size(name) is None
        await coming.keep_as(name)
    assert await keep.size(name) == 7_500_000
    assert await read(keep, name) == b"".join(pieces)
    assert await read(keep, name, 1_499_999, 2) == b"\0\1"


async def test_what_is_kept_already_stays(keep, name):
    await keep.put(name, b"first")
    async with keep.incoming() as coming:
        await coming.write(b"other")
        await coming.keep_as(name)
    assert await keep.get(name) == b"first"


async def test_what_got_no_name_leaves_nothing(keep):
    async def all_names() -> set[str]:
        return {found.name async for found in keep.names("")}

    before = await all_names()
    async with keep.incoming() as coming:
        await coming.write(b"x" * 5_000_000)
    assert await all_names() == before


async def test_something_empty_can_be_kept(keep, name):
    async with keep.incoming() as coming:
        await coming.keep_as(name)
    assert (await keep.size(name), await read(keep, name)) == (0, b"")


async def test_names_say_when_they_were_last_put(keep, name):
    await keep.put(name, b"x")
    (found,) = [found async for found in keep.names(name)]
    assert (found.name, found.size) == (name, 1)
    assert abs(found.used - datetime.now(UTC)) < timedelta(seconds=30)


async def test_what_was_used_since_is_not_removed(keep, name):
    await keep.put(name, b"x")
    await keep.remove(name, unless_used_since=datetime.now(UTC) - timedelta(hours=1))
    assert await keep.get(name) == b"x"
    await keep.remove(name, unless_used_since=datetime.now(UTC) + timedelta(hours=1))
    assert await keep.get(name) is None


async def test_what_was_removed_is_gone_and_removing_it_again_is_harmless(keep, name):
    await keep.put(name, b"x")
    for _ in range(2):
        await keep.remove(name)
    assert await keep.get(name) is None
    with pytest.raises(Unavailable):
        await read(keep, name)
