"""Collected data as events: each row is the JSON object of its columns."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from azure.core.exceptions import AzureError
from azure.eventhub import EventData, EventDataBatch, EventHubProducerClient
from azure.eventhub.exceptions import EventHubError

from ..records import Record
from .delivery import Away, TooLarge
from .places import STANDARD, Places, Row


class Producer(Protocol):
    """What is needed of `azure.eventhub.EventHubProducerClient`."""

    def create_batch(self) -> EventDataBatch:
        """A batch as large as the hub takes."""

    def send_batch(self, event_data_batch: EventDataBatch) -> None:
        """Send it. Raises EventHubError."""


@dataclass
class Events:
    """Events that were not sent yet."""

    left: list[EventData]

    def __len__(self) -> int:
        """How many."""
        return len(self.left)


class CollectedEvents:
    """Sends collected rows. One whose answer was lost is sent again: a hub may hold it twice."""

    def __init__(self, producer: Producer, places: Places) -> None:
        self._producer = producer
        self._places = places

    @classmethod
    def connected(cls, connection_string: str, places: Places) -> Self:
        """For the hub that the connection string names. Raises ValueError when it is none."""
        return cls(EventHubProducerClient.from_connection_string(connection_string, retry_total=0), places)

    def parcels(self, records: Iterable[Record]) -> Sequence[Events]:
        """The rows of the records, as events; the property `folder` says where a blob of them would be."""
        return [Events([_event(row) for row in self._places.rows(records)])]

    def send(self, events: Events) -> None:
        """Send what is left, in as few batches as the hub takes. Raises Away and TooLarge."""
        try:
            while events.left:
                batch = self._filled(events.left)
                if len(batch) == 0:
                    del events.left[0]
                    raise TooLarge("A row is larger than an event may be")
                self._producer.send_batch(batch)
                del events.left[: len(batch)]
        except (EventHubError, AzureError) as error:
            raise Away(type(error).__name__) from None

    def _filled(self, events: Sequence[EventData]) -> EventDataBatch:
        batch = self._producer.create_batch()
        for event in events:
            try:
                batch.add(event)
            except ValueError:  # it is full
                break
        return batch


def _event(row: Row) -> EventData:
    values = {**dict(zip(STANDARD, row.standard, strict=True)), **row.features}
    event = EventData(json.dumps(values, ensure_ascii=False).encode(errors="backslashreplace"))
    event.content_type = "application/json"
    event.properties = {"folder": row.folder}
    return event
