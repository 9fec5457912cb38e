"""Collected data as events, by the published client's own types."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from azure.eventhub import EventDataBatch, EventHubProducerClient
from azure.eventhub.exceptions import ConnectionLostError

from runtime.slipway_server.telling.records import Collected, Scored
from runtime.slipway_server.telling.sinks.delivery import Away, TooLarge
from runtime.slipway_server.telling.sinks.event_hub import CollectedEvents, Producer
from runtime.slipway_server.telling.sinks.places import Places

PLACES = Places("sub/group/account", "service", {"iris": ("0b5c", "3")}, frozenset())
FOLDER = "sub/group/account/service/0b5c-iris-3"
NOON = 1_504_267_200.25


class Hub:
    """A hub that takes small batches, and fails as often as it is told to."""

    def __init__(self, *, most: int = 1024 * 1024, failures: int = 0) -> None:
        self._most = most
        self._failures = failures
        self.batches: list[list[Any]] = []

    def create_batch(self) -> EventDataBatch:
        return EventDataBatch(max_size_in_bytes=self._most)

    def send_batch(self, event_data_batch: EventDataBatch) -> None:
        if self._failures:
            self._failures -= 1
            raise ConnectionLostError("sb://hub/?SharedAccessKey=secret")
        self.batches.append(list(event_data_batch._internal_events))

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(event.body_as_str()) for batch in self.batches for event in batch]


def scored(number: int) -> Scored:
    body = json.dumps({"age": number}).encode()
    return Scored(NOON, 0.1, f"r{number}", "", "/score", 200, True, body, b"0.5")


def test_rows_become_events_that_say_what_they_are() -> None:
    hub = Hub()
    sink = CollectedEvents(hub, PLACES)
    by_hand = Collected(NOON, "r2", "mine", "", "", "iris", "", "", "raw", ["a"], [[1]])
    for parcel in sink.parcels([scored(1), by_hand]):
        sink.send(parcel)
    at = "2017-09-01T12:00:00.250000"
    assert hub.rows == [
        {"$Timestamp": at, "$CorrelationId": "", "$RequestId": "r1", "age": 1},
        {"$Timestamp": at, "$CorrelationId": "", "$RequestId": "r1", "c0": 0.5},
        {"$Timestamp": at, "$CorrelationId": "mine", "$RequestId": "r2", "a": 1},
    ]
    event = hub.batches[0][2]
    assert (event.content_type, event.properties) == ("application/json", {"folder": f"{FOLDER}/raw/2017/09/01"})


def test_what_failed_is_sent_again_and_what_was_sent_is_not() -> None:
    hub = Hub(most=600)
    sink = CollectedEvents(hub, PLACES)
    [parcel] = sink.parcels([scored(number) for number in range(20)])
    sent = hub.send_batch

    def failing_second(batch: EventDataBatch) -> None:
        if len(hub.batches) == 1 and hub._failures == 0 and not attempts:
            attempts.append(1)
            raise ConnectionLostError("gone")
        sent(batch)

    attempts: list[int] = []
    hub.send_batch = failing_second
    with pytest.raises(Away):
        sink.send(parcel)
    assert 0 < len(parcel) < 40
    sink.send(parcel)
    assert len(parcel) == 0
    assert [row["$RequestId"] for row in hub.rows if "age" in row] == [f"r{number}" for number in range(20)]


def test_an_error_tells_its_kind_and_nothing_secret() -> None:
    sink = CollectedEvents(Hub(failures=1), PLACES)
    [parcel] = sink.parcels([scored(1)])
    with pytest.raises(Away) as away:
        sink.send(parcel)
    assert str(away.value) == "ConnectionLostError"


def test_a_row_that_is_larger_than_an_event_may_be_costs_no_other() -> None:
    hub = Hub(most=600)
    sink = CollectedEvents(hub, PLACES)
    [parcel] = sink.parcels([scored(1), scored(10**1000)._replace(request_id="r2"), scored(3)])
    with pytest.raises(TooLarge):
        sink.send(parcel)
    sink.send(parcel)
    assert [row["$RequestId"] for row in hub.rows if "age" in row] == ["r1", "r3"]
    assert len(parcel) == 0


@pytest.mark.parametrize("name", ["create_batch", "send_batch"])
def test_the_published_client_is_called_as_it_is_meant_to_be(name: str) -> None:
    needed: Callable[..., Any] = getattr(Producer, name)
    published = inspect.signature(getattr(EventHubProducerClient, name))
    assert (
        list(inspect.signature(needed).parameters) == list(published.parameters)[: len(inspect.signature(needed).parameters)]
    )
    published.bind(*([None] * len(inspect.signature(needed).parameters)))


def test_the_published_client_is_made_of_a_connection_string() -> None:
    text = "Endpoint=sb://hub.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=a2V5;EntityPath=rows"
    assert len(CollectedEvents.connected(text, PLACES).parcels([scored(1)])[0]) == 2
    with pytest.raises(ValueError, match="onnection string"):
        CollectedEvents.connected("no connection string", PLACES)
