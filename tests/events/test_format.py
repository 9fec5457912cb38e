"""CloudEvents as JSON: what others write is read or refused by name, what is written others read."""

import base64
import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.accounts import Account
from shared.domain.documents import Insert
from shared.domain.errors import Detail, InvalidRequest, foreign
from shared.domain.events import Event, events_of
from shared.domain.models import MOST_TAGS, Model
from shared.domain.operations import ErrorResponse
from shared.events.format import event_text, read_command, refusal_text, tries_of, with_tries
from tests.twins import EPOCH

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
COMMAND = {
    "specversion": "1.0",
    "id": "1",
    "source": "/trainer",
    "type": "slipway.model.register",
    "subject": "/api/subscriptions/a/resourceGroups/b/accounts/c",
    "data": {"name": "digits"},
}
LARGEST = 64 * 1024
"""Characters that a message of Queue Storage may have."""
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def an_event(**fields: object) -> Event:
    otherwise = {
        "id": str(uuid4()),
        "type": "slipway.model.registered",
        "source": "/api/subscriptions/a",
        "subject": "models/x",
        "sequence": 1,
        "time": EPOCH,
        "data": {"name": "digits"},
    }
    return Event.model_validate({**otherwise, **fields})


@given(st.dictionaries(st.text(max_size=10), JSON, max_size=4))
def test_what_the_published_library_writes_is_read(data):
    attributes = {name: value for name, value in COMMAND.items() if name != "data"}
    text = JSONFormat().write(CloudEvent({**attributes, "traceparent": TRACE}, data)).decode()
    command = read_command(text)
    assert (command.id, command.source, command.type) == ("1", "/trainer", "slipway.model.register")
    assert (command.subject, command.data, command.trace_parent) == (COMMAND["subject"], data, TRACE)


@given(st.dictionaries(st.text(max_size=10), JSON, max_size=4), st.integers(1, 10**9))
def test_what_is_written_the_published_library_reads(data, sequence):
    event = an_event(data=data, sequence=sequence, trace_parent=TRACE)
    read = JSONFormat().read(CloudEvent, event_text(event))
    assert (read.get_id(), read.get_type(), read.get_subject()) == (event.id, event.type, "models/x")
    assert (read.get_data(), read.get_time()) == (data, EPOCH)
    assert (int(read.get_extension("sequence")), read.get_extension("traceparent")) == (sequence, TRACE)


@pytest.mark.parametrize("name", list(COMMAND))
def test_an_attribute_that_is_missing_is_named(name):
    with pytest.raises(InvalidRequest, match=f"{name}: required, and absent"):
        read_command(json.dumps({other: value for other, value in COMMAND.items() if other != name}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("specversion", "0.3"), ("type", ""), ("id", ""), ("subject", 1), ("data", "x"), ("data", [])],
)
def test_an_attribute_that_makes_no_sense_is_named(name, value):
    with pytest.raises(InvalidRequest) as refused:
        read_command(json.dumps({**COMMAND, name: value}))
    assert refused.value.code == "InvalidEvent"
    assert name in refused.value.message


@pytest.mark.parametrize("name", ["id", "source", "type", "subject", "traceparent"])
def test_text_that_is_not_unicode_is_refused(name):
    with pytest.raises(InvalidRequest) as refused:
        read_command(json.dumps({**COMMAND, name: "half of a pair: \ud83d"}))
    assert refused.value.code == "InvalidEvent"
    refused.value.message.encode()


@given(st.text(max_size=60) | JSON.map(json.dumps))
def test_anything_else_is_refused_and_never_breaks(text):
    with pytest.raises(InvalidRequest):
        read_command(text)


@pytest.mark.parametrize("trace", ["nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01", 7])
def test_a_trace_that_is_none_is_left_out(trace):
    assert read_command(json.dumps({**COMMAND, "traceparent": str(trace)})).trace_parent is None


@pytest.mark.parametrize(
    "message",
    [
        '{"url": "https://a/b?sig=SECRET"}',
        '{"url": "https:\\/\\/a\\/b?sv=1\\u0026sig=SECRET"}',
        '{"url": "https:\\u002f\\u002fa/b\\u003fsig=SECRET"}',
        '{"url": "https:\\/\\/a\\/b?sig=SECRET", and what is no JSON',
        '{"url": "https:\\/\\/a\\/b?sig=SECRET", "half a pair": "\\ud83d"}',
    ],
)
def test_a_refusal_holds_the_error_and_the_message_without_its_signature(message):
    error = ErrorResponse(code="InvalidRequest", message="url: no", status_code=400)
    text = refusal_text("7", "/slipway/commands", message, error)
    refusal = JSONFormat().read(CloudEvent, text)
    assert (refusal.get_id(), refusal.get_type()) == ("7", "slipway.command.refused")
    assert refusal.get_data()["error"] == {"code": "InvalidRequest", "message": "url: no", "statusCode": 400}
    assert "SECRET" not in text


def in_queue(text: str) -> int:
    """How long it is as a message, in base64."""
    return len(base64.b64encode(text.encode()))


def test_the_event_of_a_model_with_all_the_tags_it_may_have_fits_in_a_queue():
    tags = ("😀" * 256,) * MOST_TAGS
    model = Model(
        id=str(uuid4()),
        name="n" * 255,
        tags=tags,
        url="http://store/x",
        mime_type="application/json",
        version=1,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    account = Account(str(uuid4()), "g" * 90, "a" * 64)
    (insert,) = events_of(account, [Insert(model)], [Event], EPOCH, TRACE)
    text = event_text(insert.document)
    assert in_queue(text) <= LARGEST
    assert JSONFormat().read(CloudEvent, text).get_data()["tags"] == list(tags)


@pytest.mark.parametrize("character", ["x", "é", "漢", "😀", '"', "\x01"])
@pytest.mark.parametrize("wrong", [1, 1000])
def test_the_refusal_of_any_message_fits_in_a_queue(character, wrong):
    details = [Detail("UnknownProperty", f"{number}: {character * 700}") for number in range(wrong)]
    error = InvalidRequest(" ".join(detail.message for detail in details), details=details)
    text = refusal_text("7", "/slipway/commands", character * 48 * 1024, ErrorResponse.of(error))
    assert in_queue(text) <= LARGEST
    told = JSONFormat().read(CloudEvent, text).get_data()
    assert (told["error"]["code"], told["error"]["details"][0]["code"]) == ("InvalidRequest", "UnknownProperty")
    assert told["error"]["message"].startswith("0: ")
    assert told["message"].startswith(foreign(character))


@pytest.mark.parametrize("character", ["x", "漢", "😀"])
def test_a_command_that_is_put_off_still_fits_in_a_queue(character):
    command = {**COMMAND, "data": {"description": ""}}
    room = 48 * 1024 - 64 - len(json.dumps(command))
    command["data"]["description"] = character * (room // len(character.encode()))
    text = json.dumps(command, ensure_ascii=False)
    assert in_queue(with_tries(text, 19)) <= LARGEST


@given(st.integers(0, 100))
def test_a_command_that_was_put_off_says_how_often_and_is_otherwise_the_same(tries):
    text = with_tries(json.dumps(COMMAND), tries)
    assert tries_of(text) == tries
    assert read_command(text) == read_command(json.dumps(COMMAND))


@pytest.mark.parametrize(
    "text", ["", "[]", "7", *(f'{{"slipwaytries": {odd}}}' for odd in ('"x"', "-7", "1e999")), json.dumps(COMMAND)]
)
def test_what_does_not_say_was_never_put_off(text):
    assert tries_of(text) == 0
