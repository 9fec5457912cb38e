"""The ways in which others write a CloudEvent in JSON, brought to the one of its JSON format.

Besides that format: names in camelCase, PascalCase or snake_case, extensions in an object of their own (Azure's SDKs), and
Google's Eventarc, which writes the protobuf format as JSON. A null is an attribute that is not set.
Source: CloudEvents 1.0, JSON event format, 2 and 3.1; protobuf event format; google.cloud.eventarc.publishing.v1.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping

from shared.domain.errors import Detail, InvalidRequest, foreign
from shared.domain.wire import Json

type _Attributes = Mapping[str, Json]

_NAMES = {
    name.replace("_", ""): name
    for name in (
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "data",
        "data_base64",
        "text_data",
        "binary_data",
        "proto_data",
    )
}
_IN_BASE64 = ("data_base64", "binary_data")
_DATA = ("data", *_IN_BASE64, "text_data", "proto_data")
_OF_EXTENSIONS = ("extensions", "extensionattributes", "attributes")
_TYPE = "@type"
_STRUCT = "google.protobuf.Struct"


def standard(document: _Attributes) -> dict[str, Json]:
    """The same event under the names of the JSON format, its data as JSON; raises InvalidRequest naming the attribute."""
    attributes: dict[str, Json] = {}
    for name, value in _attributes(document):
        if name in attributes:
            raise _invalid(f"{name}: given more than once; accepts one.")
        attributes[name] = value
    given = [name for name in _DATA if name in attributes]
    if len(given) > 1:
        raise _invalid(f"{' and '.join(given)}: the event's data, given more than once; accepts one of them.")
    if given:
        attributes["data"] = _data(given[0], attributes.pop(given[0]))
    return attributes


def readable(document: _Attributes) -> dict[str, Json]:
    """The event as it came, but for what base64 or the escapes of a text in a text would hide in its data."""
    return {name: _readable(_NAMES.get(_plain(name), ""), value) for name, value in document.items()}


def _readable(name: str, value: Json) -> Json:
    if name not in _DATA or not isinstance(value, str):
        return value
    try:
        text = _decoded(name, value) if name in _IN_BASE64 else value
    except InvalidRequest:
        return "…"
    try:
        return _parsed(name, text)
    except InvalidRequest:
        return text.replace("\\/", "/")


def _attributes(document: _Attributes) -> Iterator[tuple[str, Json]]:
    """Those that are set, by their names in the format, out of the objects that some have for them."""
    for given, value in document.items():
        plain = _plain(given)
        if value is None or given == _TYPE:
            continue
        if plain in _OF_EXTENSIONS and isinstance(value, dict):
            yield from _attributes({name: _value(inner) for name, inner in value.items()})
        else:
            yield _NAMES.get(plain, given), value


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _value(given: Json) -> Json:
    """Of an attribute in an object of its own: Eventarc says its type with it, `{"ceString": …}`."""
    if isinstance(given, dict) and len(given) == 1:
        (kind, value), *_ = given.items()
        if kind.lower().replace("_", "").startswith("ce"):
            return value
    return given


def _data(name: str, value: Json) -> Json:
    if name in _IN_BASE64:
        return _parsed(name, _decoded(name, value))
    if name == "proto_data":
        return _unpacked(value)
    return _parsed(name, value) if isinstance(value, str) else value


def _decoded(name: str, value: Json) -> str:
    """Raises InvalidRequest for what is no base64, of either alphabet and in lines or not, of UTF-8."""
    try:
        text = "".join(str(value).split()).rstrip("=").translate(_URL_SAFE)
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode("utf-8-sig")
    except (binascii.Error, ValueError):
        raise _invalid(f"{name}: got {foreign(json.dumps(value), 80)}; accepts a JSON object in base64.") from None


_URL_SAFE = str.maketrans("-_", "+/")


def _parsed(name: str, text: Json) -> Json:
    """Raises InvalidRequest for what is no JSON."""
    try:
        parsed: Json = json.loads(str(text))
    except (ValueError, RecursionError):
        raise _invalid(f"{name}: got '{foreign(text, 80)}'; accepts a JSON object: the body of the HTTP request.") from None
    return parsed


def _unpacked(value: Json) -> Json:
    """A protobuf `Any` as JSON writes it; raises InvalidRequest for any message but a Struct, which is a JSON object."""
    if isinstance(value, dict) and str(value.get(_TYPE, "")).endswith(f"/{_STRUCT}"):
        return value.get("value")
    raise _invalid(f"proto_data: got {foreign(json.dumps(value), 80)}; accepts a {_STRUCT}, or other forms of data.")


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, code="InvalidEvent", details=[Detail("InvalidAttribute", message)])
