"""What the API's description says of a text is what the check of that text does."""

import contextlib
import re
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from functions.service_logs import LogParameters
from functions.since import Since
from shared.domain import compute_resources, fields
from shared.domain.manifests import ManifestRequest
from shared.domain.models import ModelRequest
from shared.domain.service_settings import Environment, Replicas

TEXTS: dict[str, Any] = {
    "Id": fields.Id,
    "RegisteredName": fields.RegisteredName,
    "DnsName": fields.DnsName,
    "Url": fields.Url,
    "MediaType": fields.MediaType,
    "Quantity": fields.Quantity,
    "ComputeResourceId": fields.ComputeResourceId,
    "Tag": fields.Tag,
    "AssetId": fields.AssetId,
    "Since": Since,
    "ComputeName": compute_resources.ComputeName,
    "AksId": compute_resources.AksId,
    "Label": compute_resources.Label,
    "ObjectName": compute_resources.ObjectName,
    "RegistryHost": compute_resources.RegistryHost,
    "SettingName": compute_resources.SettingName,
    "SecretName": compute_resources.SecretName,
}


def taken(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def pattern_of(kind: Any) -> str:
    return TypeAdapter(kind).json_schema()["pattern"].removeprefix("^").removesuffix("$")


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_described_is_taken(name):
    kind, schema = TEXTS[name], TypeAdapter(TEXTS[name]).json_schema()

    @given(st.from_regex(f"(?:{pattern_of(kind)})", fullmatch=True))
    def each(text: str) -> None:
        if schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text)):
            assert jsonschema_rs.is_valid(schema, text)
            assert taken(kind, text)

    each()


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("more", ["\n", "\r", "\u2028", "\0", "\x85"])
def test_nothing_comes_behind_the_end_of_a_text(name, more):
    kind, schema = TEXTS[name], TypeAdapter(TEXTS[name]).json_schema()

    @given(st.from_regex(f"(?:{pattern_of(kind)})", fullmatch=True))
    def each(text: str) -> None:
        assert not jsonschema_rs.is_valid(schema, text + more)
        assert not taken(kind, text + more)

    each()


EDGES = {
    "Id": [
        "01890000-0000-7000-8000-00000000000",
        "01890000000070008000000000000000",
        "{01890000-0000-7000-8000-000000000000}",
    ],
    "Url": [
        "http://",
        "http:///x",
        "http://h:0/",
        "http://h:65536/",
        "http://[::g]/",
        "http://a@h/",
        "ftp://h",
        "http://h h",
    ],
    "MediaType": [
        "json",
        "a/b/c",
        "a/b;c",
        "a/b; c=\x01",
        'a/b; c="\n"',
        "a/b; c=é",
        f"{'a' * 128}/b",
        f"a/b;c={'d' * 512}",
    ],
    "Quantity": ["0", "0.0", "0Mi", ".", "1.2.3", "1K", "-1", "+1", "1e100", "١", "9" * 65],
    "ComputeResourceId": ["/subscriptions/a/resourcegroups/b", "/ſubscriptions/a/x"],
    "Tag": ["", "x" * 257, "a\tb", "a\u2029b"],
    "Since": ["yesterday", "-1", "1" * 10, "2026-01-31T12:00:00", "2026-02-30T12:00:00Z", "2026-01-31T25:00:00Z"],
    "RegisteredName": ["", ".a", "a b", "x" * 256, "é"],
    "DnsName": ["ab", "A-b", "-ab", "ab-", "x" * 33],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in EDGES.items() for text in texts])
def test_a_text_that_is_refused_is_not_described(name, text):
    assert not taken(TEXTS[name], text)
    assert not jsonschema_rs.is_valid(TypeAdapter(TEXTS[name]).json_schema(), text)


SOUND = {
    "Url": [
        "http://store/a?sig=%2F&b=c#d",
        "https://h:65535",
        "HTTP://h",
        "http://[::1]:80/",
        "http://[fe80::1:2]/x",
        "http://[1:2:3:4:5:6:7:8]",
        "http://127.0.0.1:1/x",
        "https://a_b.example./",
    ],
    "MediaType": [
        "application/json",
        'text/plain; charset="utf-8"; a=b',
        "application/x-python",
        "application/vnd.a+json;q=1",
    ],
    "Quantity": ["0.5", "250m", ".5", "5.", "512Mi", "1e3", "1E-3", "007", "0.001n", "1Ei", "1E", "1E3"],
    "ComputeResourceId": [
        "/subscriptions/s/resourcegroups/g(1)/providers/Microsoft.MachineLearningCompute/operationalizationClusters/local",
        "/SUBSCRIPTIONS/s/resourceGroups/é/PROVIDERS/microsoft.machinelearningcompute/operationalizationclusters/l",
    ],
    "Since": ["0", "3600", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.5+02:00"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in SOUND.items() for text in texts])
def test_a_usual_text_is_taken_and_described(name, text):
    assert taken(TEXTS[name], text)
    assert jsonschema_rs.is_valid(TypeAdapter(TEXTS[name]).json_schema(), text)


NAMES = st.one_of(
    st.text(max_size=130),
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True),
    st.sampled_from(
        ["SLIPWAY_PROCESSES", "slipway_processes", "SLIPWAY_X", "Aml_x", "SERVICE_", "kubernetes_port", "PATH", ""]
    ),
)


@given(st.dictionaries(NAMES, st.text(max_size=20), max_size=70))
def test_environment_variables_are_taken_when_they_are_as_described(variables):
    assert taken(Environment, variables) == jsonschema_rs.is_valid(TypeAdapter(Environment).json_schema(), variables)


@given(st.one_of(st.integers(-2, 1002), st.sampled_from([0.0, 1.0, 1.5, 1000.0, 1001.0, "1", True, None])))
def test_a_number_is_an_integer_as_json_schema_has_it(number):
    assert taken(Replicas, number) == jsonschema_rs.is_valid(TypeAdapter(Replicas).json_schema(), number)


@given(st.one_of(st.integers(-1, 10_001).map(str), st.text(max_size=6)))
def test_the_tail_of_a_log_is_a_number_in_the_bounds_that_are_described(text):
    schema = LogParameters.model_json_schema()["properties"]["tail"]
    told = {key: value for key, value in schema["anyOf"][0].items() if key != "default"}
    number = int(text) if re.fullmatch("-?[0-9]{1,6}", text) else None
    with contextlib.suppress(ValidationError):
        assert LogParameters(tail=text).tail == text
        assert jsonschema_rs.is_valid(told, number)
        return
    assert not jsonschema_rs.is_valid(told, number)


@pytest.mark.parametrize("kind", [ModelRequest, ManifestRequest])
def test_what_a_type_ignores_is_no_field_of_it(kind):
    assert not {field.alias for field in kind.model_fields.values()} & kind.read_only
