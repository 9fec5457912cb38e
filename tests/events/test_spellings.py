"""Commands as the published SDKs write them. Each fixture was made up here after the writer that its comment names."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidRequest
from shared.domain.operations import ErrorResponse
from shared.events.format import read_command, refusal_text, tries_of, with_tries

SUBJECT = "/api/subscriptions/a/resourceGroups/b/accounts/c"
DATA = {"name": "grüezi", "url": "https://store/digits.pkl"}
TYPE = "slipway.model.register"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BASE64 = base64.b64encode(json.dumps(DATA).encode()).decode()

WRITTEN: dict[str, dict[str, Any]] = {
    # cloudevents (Python) 1.x, cloudevents.conversion.to_json: six digits, an offset; bytes go to data_base64
    "Python, an object": {
        "specversion": "1.0",
        "id": "1",
        "source": "/trainer",
        "type": TYPE,
        "time": "2026-01-31T12:00:00.743453+00:00",
        "subject": SUBJECT,
        "traceparent": TRACE,
        "data": DATA,
    },
    "Python, bytes": {
        "specversion": "1.0",
        "id": "1",
        "source": "/trainer",
        "type": TYPE,
        "time": "2026-01-31T12:00:00.743720+00:00",
        "subject": SUBJECT,
        "traceparent": TRACE,
        "data_base64": BASE64,
    },
    # CloudNative.CloudEvents (.NET), SystemTextJson JsonEventFormatter: byte[] goes to data_base64 whatever its content type
    ".NET, byte[]": {
        "specversion": "1.0",
        "id": "1",
        "source": "/trainer",
        "type": TYPE,
        "datacontenttype": "application/json",
        "subject": SUBJECT,
        "time": "2026-01-31T12:00:00.1234567Z",
        "traceparent": TRACE,
        "data_base64": BASE64,
    },
    # Azure.Messaging.CloudEvent (.NET), CloudEventConverter: BinaryData of format Binary goes to data_base64
    "Azure .NET, BinaryData": {
        "id": "1",
        "source": "/trainer",
        "type": TYPE,
        "data_base64": BASE64,
        "time": "2026-01-31T12:00:00.1234567+00:00",
        "specversion": "1.0",
        "dataschema": "https://example.com/schema",
        "datacontenttype": "application/json",
        "subject": SUBJECT,
        "traceparent": TRACE,
    },
    # sdk-go v2 WriteJson: SetData with []byte sets DataBase64; nine digits
    "Go, []byte": {
        "specversion": "1.0",
        "id": "1",
        "source": "/trainer",
        "type": TYPE,
        "subject": SUBJECT,
        "datacontenttype": "application/json",
        "time": "2026-01-31T12:00:00.123456789Z",
        "data_base64": BASE64,
        "traceparent": TRACE,
    },
    # sdk-go v2 WriteJson: data of any other content type is written as a text
    "Go, text": {
        "specversion": "1.0",
        "id": "1",
        "source": "/trainer",
        "type": TYPE,
        "subject": SUBJECT,
        "datacontenttype": "text/plain",
        "data": json.dumps(DATA),
        "traceparent": TRACE,
    },
    # io.cloudevents (Java), CloudEventSerializer: bytes of a content type that is not JSON go to data_base64
    "Java, bytes": {
        "specversion": "1.0",
        "id": "1",
        "source": "/trainer",
        "type": TYPE,
        "datacontenttype": "application/octet-stream",
        "subject": SUBJECT,
        "time": "2026-01-31T12:00:00+01:00",
        "traceparent": TRACE,
        "data_base64": BASE64,
    },
    # cloudevents (JavaScript), CloudEvent.toJSON: binary data goes to data_base64; a null extension stays
    "JavaScript, Uint8Array": {
        "id": "1",
        "time": "2026-01-31T12:00:00.123Z",
        "type": TYPE,
        "source": "/trainer",
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "subject": SUBJECT,
        "data_base64": BASE64,
        "partitionkey": None,
        "traceparent": TRACE,
    },
    # @azure/eventgrid (JavaScript), the interface CloudEvent as JSON.stringify writes it: extensions in an object
    "Azure JavaScript, not sent by its client": {
        "type": TYPE,
        "source": "/trainer",
        "id": "1",
        "specversion": "1.0",
        "subject": SUBJECT,
        "data": DATA,
        "extensionAttributes": {"traceparent": TRACE},
    },
    # azure.core.messaging.CloudEvent (Python), its attributes: None for what is not set, extensions in an object
    "Azure Python, by its attributes": {
        "source": "/trainer",
        "type": TYPE,
        "specversion": "1.0",
        "id": "1",
        "time": None,
        "datacontenttype": None,
        "dataschema": None,
        "subject": SUBJECT,
        "data": DATA,
        "extensions": {"traceparent": TRACE},
    },
    # A CloudEvent class of .NET under a serializer that knows no converter for it: its properties' own names
    ".NET, by its properties": {
        "Id": "1",
        "Source": "/trainer",
        "Type": TYPE,
        "SpecVersion": "1.0",
        "DataContentType": "application/json",
        "DataSchema": None,
        "Subject": SUBJECT,
        "Time": None,
        "Data": DATA,
        "ExtensionAttributes": {"traceparent": TRACE},
    },
    # cloudevents-sdk (Rust), serde: as the format has it, extensions beside
    "Rust, Data::Binary": {
        "specversion": "1.0",
        "id": "1",
        "type": TYPE,
        "source": "/trainer",
        "datacontenttype": "application/json",
        "subject": SUBJECT,
        "data_base64": BASE64,
        "traceparent": TRACE,
    },
    # Google's Eventarc Publishing API: google.cloud.eventarc.publishing.v1.CloudEvent as protobuf writes it in JSON
    "Eventarc, text": {
        "@type": "type.googleapis.com/io.cloudevents.v1.CloudEvent",
        "id": "1",
        "source": "/trainer",
        "specVersion": "1.0",
        "type": TYPE,
        "attributes": {
            "subject": {"ceString": SUBJECT},
            "datacontenttype": {"ceString": "application/json"},
            "time": {"ceTimestamp": "2026-01-31T12:00:00.123456Z"},
            "traceparent": {"ceString": TRACE},
        },
        "textData": json.dumps(DATA),
    },
    "Eventarc, binary": {
        "id": "1",
        "source": "/trainer",
        "specVersion": "1.0",
        "type": TYPE,
        "attributes": {"subject": {"ceString": SUBJECT}, "traceparent": {"ceString": TRACE}},
        "binaryData": BASE64,
    },
    # The same message by google.protobuf.json_format with preserving_proto_field_name
    "Eventarc, by the names in the proto file": {
        "id": "1",
        "source": "/trainer",
        "spec_version": "1.0",
        "type": TYPE,
        "attributes": {"subject": {"ce_string": SUBJECT}, "traceparent": {"ce_string": TRACE}},
        "proto_data": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": DATA},
    },
}
PLAIN = WRITTEN["Python, an object"]


@pytest.mark.parametrize("written", WRITTEN.values(), ids=list(WRITTEN))
def test_what_other_sdks_write_is_the_same_command(written):
    command = read_command(json.dumps(written))
    assert (command.id, command.source, command.type) == ("1", "/trainer", TYPE)
    assert (command.subject, command.data, command.trace_parent) == (SUBJECT, DATA, TRACE)


@pytest.mark.parametrize("written", WRITTEN.values(), ids=list(WRITTEN))
def test_what_other_sdks_write_can_be_put_off(written):
    text = with_tries(json.dumps(written), 3)
    assert tries_of(text) == 3
    assert read_command(text) == read_command(json.dumps(written))


@pytest.mark.parametrize("name", ["time", "dataschema", "datacontenttype", "data_base64", "partitionkey", "traceparent"])
def test_a_null_is_an_attribute_that_is_not_set(name):
    command = read_command(json.dumps({**PLAIN, name: None}))
    assert command.data == DATA


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "subject", "data"])
def test_a_null_where_something_is_required_is_named_as_absent(name):
    with pytest.raises(InvalidRequest, match=f"{name}: required, and absent"):
        read_command(json.dumps({**PLAIN, name: None}))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data_base64": BASE64}, "data and data_base64"),
        ({"textData": "{}"}, "data and text_data"),
        ({"specVersion": "1.0"}, "specversion: given more than once"),
        ({"SUBJECT": SUBJECT}, "subject: given more than once"),
        ({"data": None, "data_base64": "%%%"}, "data_base64: got"),
        ({"data": None, "data_base64": 7}, "data_base64: got"),
        ({"data": None, "data_base64": base64.b64encode(b"\xff\xfe").decode()}, "data_base64: got"),
        ({"data": None, "data_base64": base64.b64encode(b"no json").decode()}, "data_base64: got"),
        ({"data": None, "data_base64": base64.b64encode(b"[1]").decode()}, "data"),
        ({"data": "no json"}, "data: got"),
        ({"data": 5}, "data: got 5; accepts a JSON object"),
        ({"data": [{"name": "a"}]}, 'data: got [{"name":"a"}]; accepts a JSON object'),
        ({"data": False}, "data: got false; accepts a JSON object"),
        ({"time": 1769860800}, "time: got 1769860800; accepts a time"),
        ({"time": ""}, 'time: got ""; accepts a time'),
        ({"time": "Sat, 31 Jan 2026 12:00:00 GMT"}, "time: got"),
        ({"time": {"seconds": 1769860800}}, "time: got"),
        ({"time": ["2026-01-31T12:00:00Z"]}, "time: got"),
        ({"data": None, "protoData": {"@type": "type.googleapis.com/other.Message"}}, "proto_data: got"),
    ],
)
def test_data_that_makes_no_sense_is_named(changes, named):
    with pytest.raises(InvalidRequest) as refused:
        read_command(json.dumps({**PLAIN, **changes}))
    assert refused.value.code == "InvalidEvent"
    assert named in refused.value.message
    assert refused.value.details


@pytest.mark.parametrize("batch", [[PLAIN], [PLAIN, PLAIN], []])
def test_a_batch_is_told_that_a_message_holds_one_event(batch):
    with pytest.raises(InvalidRequest, match="accepts one event a message"):
        read_command(json.dumps(batch))


def test_base64_may_be_in_lines_and_begin_with_a_mark_of_its_byte_order():
    text = base64.encodebytes(b"\xef\xbb\xbf" + json.dumps({**DATA, "description": "x" * 99}).encode()).decode()
    assert "\n" in text.strip()
    assert read_command(json.dumps({**PLAIN, "data": None, "data_base64": text})).data["description"] == "x" * 99


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("pad", ["", "="])
@given(st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=3))
def test_both_alphabets_of_base64_are_read_with_padding_or_without(encode, pad, data):
    text = encode(json.dumps(data).encode()).decode()
    text = text if pad else text.rstrip("=")
    assert read_command(json.dumps({**PLAIN, "data": None, "data_base64": text})).data == data


@pytest.mark.parametrize(
    "data",
    [
        {"data_base64": base64.b64encode(b'{"url": "https://a/b?sig=SECRET"}').decode()},
        {"data_base64": base64.b64encode(b"https://a/b?sig=SECRET").decode()},
        {"binaryData": base64.b64encode(b'{"url": "https:\\/\\/a\\/b?sig=SECRET"}').decode()},
        {"textData": '{"url": "https:\\/\\/a\\/b?sig=SECRET"}'},
        {"data": '{"url": "https:\\/\\/a\\/b?sig=SECRET"}'},
        {"data": "https:\\/\\/a\\/b?sig=SECRET"},
    ],
)
def test_a_refusal_hides_what_data_of_any_form_would_tell(data):
    message = json.dumps({name: value for name, value in PLAIN.items() if name != "data"} | data)
    text = refusal_text("7", "/slipway/commands", message, ErrorResponse(code="X", message="no", status_code=400))
    told = json.loads(text)["data"]["message"]
    assert "SECRET" not in told
    assert not any(value in told for value in data.values())
    assert TYPE in told
