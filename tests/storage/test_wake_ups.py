"""The promises of the port WakeUps, kept by the twin and by a queue alike."""

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from azure.storage.queue.aio import QueueClient
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.accounts import Account
from shared.domain.errors import InvalidRequest, Unavailable
from shared.storage.connection import StorageConnection
from shared.storage.memory import MemoryWakeUps
from shared.storage.queues import QueueWakeUps, parse_wake_up, wake_up
from tests.twins import ManualClock

ACCOUNT = Account("Sub", "Group", "local")


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.uuids())
def test_a_wake_up_says_what_it_was_made_of(subscription, group, name, identifier):
    account = Account(subscription, group, name)
    assert parse_wake_up(wake_up(account, str(identifier)).encode()) == (account, str(identifier))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'"x"', b'{"account": 1, "operationId": "x"}', b"\xff"])
def test_what_is_no_wake_up_is_refused(body):
    with pytest.raises(InvalidRequest):
        parse_wake_up(body)


class TwinChannel:
    """The twin, and what is due on it by a clock that stands still."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.wake_ups = MemoryWakeUps(self.clock)

    async def due(self) -> list[tuple[Account, str]]:
        waiting = iter(self.wake_ups.pop, None)
        return [(account, operation_id) for when, account, operation_id in waiting if when <= self.clock.now()]


class QueueChannel:
    """A queue, and what is due on it as the Functions host reads it."""

    def __init__(self, connection_string: str) -> None:
        self._text = connection_string
        self._name = f"q{uuid4().hex}"
        connection = StorageConnection.from_settings({"AzureWebJobsStorage": connection_string})
        self.wake_ups = QueueWakeUps(connection, self._name)

    async def due(self) -> list[tuple[Account, str]]:
        async with QueueClient.from_connection_string(self._text, self._name) as queue:
            messages = [message async for message in queue.receive_messages()]
        return [parse_wake_up(base64.b64decode(message.content)) for message in messages]


@pytest.fixture(params=["twin", "queue"])
async def channel(request, azurite) -> AsyncIterator[TwinChannel | QueueChannel]:
    if request.param == "twin":
        yield TwinChannel()
        return
    made = QueueChannel(azurite.connection_string)
    yield made
    await made.wake_ups.close()


async def test_a_wake_up_says_whose_operation_it_is(channel):
    await channel.wake_ups.wake(ACCOUNT, "operation")
    assert await channel.due() == [(ACCOUNT, "operation")]


async def test_a_delayed_wake_up_does_not_come_before_its_time(channel):
    await channel.wake_ups.wake(ACCOUNT, "later", timedelta(seconds=599.2))
    await channel.wake_ups.wake(ACCOUNT, "now")
    assert await channel.due() == [(ACCOUNT, "now")]


async def test_a_queue_that_is_away_is_unavailable():
    nowhere = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=eA==;QueueEndpoint=http://127.0.0.1:1/a;"
    wake_ups = QueueWakeUps(StorageConnection.from_settings({"AzureWebJobsStorage": nowhere}))
    with pytest.raises(Unavailable):
        await wake_ups.wake(ACCOUNT, "x")
