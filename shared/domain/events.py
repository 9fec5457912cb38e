"""Events: what others are told of every transition of a model, an image, a service or an operation.

An event is a document of its own, committed with the change that it tells of: no event without its change, no change
without its event. It waits there until it is published. Source: CloudEvents 1.0, and its extension `sequence`.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import ClassVar

from shared.domain import plans
from shared.domain.accounts import Account
from shared.domain.documents import Change, Document, Insert, Remove, Replace, Stored
from shared.domain.ids import in_order
from shared.domain.images import Image
from shared.domain.models import Model
from shared.domain.operations import Operation, State
from shared.domain.services import Service
from shared.domain.wire import Json, Timestamp


class Event(Document):
    """One event on its way to the queue `events`.

    Its id is the resource's but for the last digits, which count: a list of events, like any list newest first, has those
    of one resource one behind the other, and in their order.
    """

    kind: ClassVar[str] = "event"
    outbox: ClassVar[str] = "00000000-0000-7000-8000-000000000001"

    type: str
    source: str
    subject: str
    sequence: int
    time: Timestamp
    trace_parent: str | None = None
    data: dict[str, Json]


class WebhookEvent(Event):
    """The same event on its way to the endpoint that the settings name."""

    kind: ClassVar[str] = "webhook-event"
    outbox: ClassVar[str] = "00000000-0000-7000-8000-000000000002"


_ORDER = {State.NOT_STARTED: 1, State.RUNNING: 2, State.SUCCEEDED: 3, State.FAILED: 3, State.CANCELLED: 3}
_AFTER_ALL = 4


def events_of(
    account: Account, changes: Sequence[Change], kinds: Sequence[type[Event]], now: datetime, trace: str | None
) -> list[Insert]:
    """The events that tell of those changes: one of each kind for each transition."""
    return [
        Insert(
            kind(
                id=in_order(document.id, sequence),
                type=f"slipway.{document.kind}.{happened}",
                source=account.path,
                subject=f"{document.kind}s/{document.id}",
                sequence=sequence,
                time=now,
                trace_parent=trace,
                data=_shown(document),
            )
        )
        for document, happened, sequence in _transitions(changes)
        for kind in kinds
    ]


def _transitions(changes: Sequence[Change]) -> Iterator[tuple[Document, str, int]]:
    """The document, what happened to it, and the how manieth thing that was."""
    for change in changes:
        match change:
            case Insert(Model() as model):
                yield model, "registered", 1
            case Insert(Image() | Service() | Operation() as new):
                yield new, "accepted", _sequence(new)
            case Replace(old, new) if _state(old.document) is not _state(new):
                yield new, str(_state(new)).lower(), _sequence(new)
            case Remove(Stored(document=Model() | Image() | Service() as document)):
                last = document.revision + 1 if isinstance(document, Service) else _AFTER_ALL
                yield document, "deleted", last
            case _:
                pass


def _state(document: Document) -> State | None:
    match document:
        case Image():
            return document.creation_state
        case Service() | Operation():
            return document.state
        case _:
            return None


def _sequence(document: Document) -> int:
    if isinstance(document, Service):
        return document.revision
    return _ORDER[_state(document) or State.NOT_STARTED]


def _shown(document: Document) -> dict[str, Json]:
    """What an event says of it: no signed address, no key."""
    match document:
        case Model():
            fields = {"name", "version", "tags"}
        case Image():
            fields = {"name", "version", "creation_state", "image_location", "image_digest", "operation_id", "error"}
        case Service():
            fields = {"name", "state", "scoring_uri", "deployment_id", "error"}
        case _:
            fields = {"operation_type", "state", "resource_id", "created_time", "end_time", "error"}
    shown = document.model_dump(mode="json", by_alias=True, exclude_none=True, include={"id", *fields})
    return shown | _more(document)


def _more(document: Document) -> dict[str, Json]:
    match document:
        case Service():
            return {"imageId": document.image.id}
        case Operation(workflow=plans.RESTORE_SERVICE, checkpoint=found):
            return {"missing": found.get("missing"), "changed": found.get("changed")}
        case _:
            return {}
