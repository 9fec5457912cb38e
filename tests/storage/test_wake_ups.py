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
from shared.storage.queues import QueueSender, QueueWakeUps, parse_outbox_wake_up, parse_wake_up, wake_up
from tests.operations import an_operation
from tests.twins import ManualClock

ACCOUNT = Account("Sub", "Group", "local")
OPERATION = an_operation()


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.uuids())
def test_a_wake_up_says_what_it_was_made_of(subscription, group, name, identifier):
    account = Account(subscription, group, name)
    trace = f"00-{identifier.hex}-{identifier.hex[:16]}-01"
    woken = parse_wake_up(wake_up(account, an_operation(str(identifier), trace_parent=trace)).encode())
    assert (woken.account, woken.operation_id) == (account, str(identifier))
    assert woken.trace_parent in (trace, None)


NONE = [b"", b"{}", b"[]", b'"x"', b'{"account": 1, "operationId": "x"}', b"\xff", b"[" * 40_000]


@pytest.mark.parametrize("body", NONE)
def test_what_is_no_wake_up_is_refused(body):
    for parse in (parse_wake_up, parse_outbox_wake_up):
        with pytest.raises(InvalidRequest):
            parse(body)


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
        self.sender = QueueSender(connection, self._name)
        self.wake_ups = QueueWakeUps(self.sender, self.sender)

    async def due(self) -> list[tuple[Account, str]]:
        async with QueueClient.from_connection_string(self._text, self._name) as queue:
            messages = [message async for message in queue.receive_messages()]
        woken = [parse_wake_up(base64.b64decode(message.content)) for message in messages]
        return [(wake_up.account, wake_up.operation_id) for wake_up in woken]


@pytest.fixture(params=["twin", "queue"])
async def channel(request, azurite) -> AsyncIterator[TwinChannel | QueueChannel]:
    if request.param == "twin":
        yield TwinChannel()
        return
    made = QueueChannel(azurite.connection_string)
    yield made
    await made.sender.close()


async def test_a_wake_up_says_whose_operation_it_is(channel):
    await channel.wake_ups.wake(ACCOUNT, OPERATION)
    assert await channel.due() == [(ACCOUNT, OPERATION.id)]


async def test_a_delayed_wake_up_does_not_come_before_its_time(channel):
    await channel.wake_ups.wake(ACCOUNT, an_operation(), timedelta(seconds=599.2))
    await channel.wake_ups.wake(ACCOUNT, OPERATION)
    assert await channel.due() == [(ACCOUNT, OPERATION.id)]


async def test_a_queue_that_is_away_is_unavailable():
    nowhere = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=eA==;QueueEndpoint=http://127.0.0.1:1/a;"
    away = QueueSender(StorageConnection.from_settings({"AzureWebJobsStorage": nowhere}), "away")
    wake_ups = QueueWakeUps(away, away)
    with pytest.raises(Unavailable):
        await wake_ups.wake(ACCOUNT, OPERATION)


class Sent:
    """A queue that only counts."""

    def __init__(self) -> None:
        self.operations: list[str] = []

    async def send(self, text: str, delay: timedelta = timedelta(0)) -> None:
        self.operations.append(parse_wake_up(text.encode()).operation_id)


async def test_builds_have_a_queue_of_their_own_and_what_ends_one_has_not():
    others, of_builds = Sent(), Sent()
    wake_ups = QueueWakeUps(others, of_builds)
    build = an_operation("build", workflow="build-image")
    await wake_ups.wake(ACCOUNT, build)
    assert (others.operations, of_builds.operations) == ([], ["build"])
    await wake_ups.wake(ACCOUNT, an_operation("deploy", workflow="deploy-service"))
    await wake_ups.wake(ACCOUNT, build.cancelling(build.created_time))
    await wake_ups.wake(ACCOUNT, build.failing(None, build.created_time, build.deadline, None))
    assert (others.operations, of_builds.operations) == (["deploy", "build", "build"], ["build"])
