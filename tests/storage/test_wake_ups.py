import base64
from datetime import timedelta
from uuid import uuid4

import pytest
from azure.storage.queue.aio import QueueClient
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.accounts import Account
from shared.domain.errors import InvalidRequest, Unavailable
from shared.storage.connection import StorageConnection
from shared.storage.queues import QueueWakeUps, parse_wake_up, wake_up

ACCOUNT = Account("Sub", "Group", "local")


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.uuids())
def test_a_wake_up_says_what_it_was_made_of(subscription, group, name, identifier):
    account = Account(subscription, group, name)
    assert parse_wake_up(wake_up(account, str(identifier)).encode()) == (account, str(identifier))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'"x"', b'{"account": 1, "operationId": "x"}', b"\xff"])
def test_what_is_no_wake_up_is_refused(body):
    with pytest.raises(InvalidRequest):
        parse_wake_up(body)


async def test_a_wake_up_arrives_as_the_functions_host_reads_it_and_not_before_its_time(azurite):
    connection = StorageConnection.from_settings({"AzureWebJobsStorage": azurite.connection_string})
    name = f"q{uuid4().hex}"
    wake_ups = QueueWakeUps(connection, name)
    await wake_ups.wake(ACCOUNT, "now")
    await wake_ups.wake(ACCOUNT, "later", timedelta(seconds=600))
    async with QueueClient.from_connection_string(azurite.connection_string, name) as queue:
        messages = [message async for message in queue.receive_messages()]
        properties = await queue.get_queue_properties()
    assert [parse_wake_up(base64.b64decode(message.content)) for message in messages] == [(ACCOUNT, "now")]
    assert properties.approximate_message_count == 2
    await wake_ups.close()


async def test_a_queue_that_is_away_is_unavailable():
    nowhere = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=eA==;QueueEndpoint=http://127.0.0.1:1/a;"
    wake_ups = QueueWakeUps(StorageConnection.from_settings({"AzureWebJobsStorage": nowhere}))
    with pytest.raises(Unavailable):
        await wake_ups.wake(ACCOUNT, "x")
