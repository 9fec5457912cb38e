"""CloudEvents as JSON texts: commands read, events written. Source: CloudEvents 1.0, JSON event format."""

import json
from collections.abc import Mapping
from typing import Any

from shared.domain.commands import Command
from shared.domain.errors import Detail, InvalidRequest, foreign
from shared.domain.events import Event
from shared.domain.operations import ErrorResponse
from shared.domain.tracing import valid_trace_parent
from shared.domain.wire import Json
from shared.events.spellings import readable, standard

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
REFUSED = "slipway.command.refused"
_LONGEST_MESSAGE = 8192
_MOST_BYTES = 48 * 1024
"""What a message of Queue Storage holds: 64 KiB in base64."""
_REQUIRED = ("specversion", "id", "source", "type", "subject", "data")


def read_command(text: str) -> Command:
    """The command that a message holds; raises InvalidRequest with one detail for each attribute that is wrong."""
    from cloudevents.core.exceptions import CloudEventValidationError  # noqa: PLC0415  # an eighth of a second of a cold start
    from cloudevents.core.formats.json import JSONFormat  # noqa: PLC0415
    from cloudevents.core.v1.event import CloudEvent  # noqa: PLC0415

    try:
        given = json.loads(text)
        if not isinstance(given, dict):
            what = "a list, as of a batch; accepts one event a message" if isinstance(given, list) else "no object"
            raise InvalidRequest(f"The message is no CloudEvent in JSON: it is {what}.", code="InvalidEvent")
        document = standard(given)
        _compact(document).encode()  # raises for half a surrogate pair, which nothing could store
        missing = [name for name in _REQUIRED if name not in document]  # the library would make some of them up
        if missing:
            details = [Detail("InvalidAttribute", f"{name}: required, and absent.") for name in missing]
            raise InvalidRequest(" ".join(detail.message for detail in details), code="InvalidEvent", details=details)
        try:
            event = JSONFormat().read(CloudEvent, _compact(document))
        except (ValueError, TypeError, OverflowError):  # the library reads nothing else of it
            raise _invalid("time", document.get("time"), "a time as RFC 3339 writes it, 2026-01-31T12:00:00Z") from None
    except CloudEventValidationError as error:
        details = [
            Detail("InvalidAttribute", foreign(f"{name}: {'; '.join(str(problem) for problem in problems)}."))
            for name, problems in error.errors.items()
        ]
        raise InvalidRequest(" ".join(detail.message for detail in details), code="InvalidEvent", details=details) from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidRequest(f"The message is no CloudEvent in JSON: {foreign(error)}.", code="InvalidEvent") from None
    subject, data = event.get_subject(), event.get_data()
    if not isinstance(subject, str):
        raise _invalid("subject", document["subject"], "the account's path, /api/subscriptions/…/accounts/…")
    if not isinstance(data, dict):
        raise _invalid("data", document["data"], "a JSON object: the body of the HTTP request")
    trace = event.get_extension("traceparent")
    return Command(
        id=event.get_id(),
        source=event.get_source(),
        type=event.get_type(),
        subject=subject,
        data=data,
        trace_parent=valid_trace_parent(trace if isinstance(trace, str) else None),
    )


def event_text(event: Event) -> str:
    """An event as others read it."""
    attributes = {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time,
        "datacontenttype": "application/json",
        "sequence": f"{event.sequence:010d}",
    }
    return _written(attributes | ({"traceparent": event.trace_parent} if event.trace_parent else {}), event.data)


def refusal_text(identifier: str, source: str, text: str, error: ErrorResponse) -> str:
    """The event that says that a command was refused: the error, and the message as it came, without signatures.

    Both are cut to what fits in a queue.
    """
    attributes = {"id": identifier, "source": source, "type": REFUSED, "datacontenttype": "application/json"}
    length = _LONGEST_MESSAGE
    while len((told := _written(attributes, _refusal(text, error, length))).encode()) > _MOST_BYTES:
        length //= 2
    return told


def tries_of(text: str) -> int:
    """How often a command was put off before."""
    try:
        return max(0, int(json.loads(text)[_TRIES]))
    except (ValueError, KeyError, TypeError, OverflowError):
        return 0


def with_tries(text: str, tries: int) -> str:
    """The command, saying how often it was put off."""
    return _compact({**json.loads(text), _TRIES: tries})


_TRIES = "slipwaytries"


def _written(attributes: Mapping[str, Any], data: Mapping[str, Json]) -> str:
    from cloudevents.core.formats.json import JSONFormat  # noqa: PLC0415
    from cloudevents.core.v1.event import CloudEvent  # noqa: PLC0415

    return _compact(json.loads(JSONFormat().write(CloudEvent(dict(attributes), dict(data)))))


def _refusal(text: str, error: ErrorResponse, length: int) -> dict[str, Json]:
    details = (error.details or ())[: length // 64]
    short = error.but(message=error.message[:length], details=details or None)
    message = foreign(_unescaped(text), length, lines=True)
    return {"error": short.model_dump(mode="json", exclude_none=True), "message": message}


def _unescaped(text: str) -> str:
    """The message without the escapes, and the base64, that would hide what is an address in it."""
    try:
        document = json.loads(text)
        plain = _compact(readable(document) if isinstance(document, dict) else document)
        plain.encode()
    except (ValueError, RecursionError):
        return text.replace("\\/", "/")
    return plain


def _compact(document: Json) -> str:
    """As UTF-8 will have it: the library's own escapes take up to three times the room."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _invalid(attribute: str, got: Json, accepts: str) -> InvalidRequest:
    message = f"{attribute}: got {foreign(_compact(got), 80)}; accepts {accepts}."
    return InvalidRequest(message, code="InvalidEvent", details=[Detail("InvalidAttribute", message)])
