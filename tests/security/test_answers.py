"""Whatever is refused, by the host or by the API, is answered in 64 KiB, and soon."""

import json
import time
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from shared.domain.errors import Detail, InvalidRequest
from shared.domain.operations import ErrorResponse

MOST = 64 * 1024
MODEL = {"name": "digits", "url": "http://store/digits.pkl", "mimeType": "application/json"}
FOREIGN = ["x", '"', "\\", "é", "😀", "a://", "\u202e", "'"]
"""What is long, or grows when it is shown."""
REPEATABILITY = ("Request-ID", "Client-ID", "First-Sent")
NOBODY = "01890000-0000-7000-8000-0000000000ff"


def is_refused_shortly(answer: httpx.Response, began: float) -> bool:
    assert 400 <= answer.status_code < 500, answer.text[:200]
    assert len(answer.content) <= MOST
    assert sum(len(name) + len(value) for name, value in answer.headers.items()) <= MOST
    return time.monotonic() - began < 20


@pytest.mark.parametrize("text", FOREIGN)
@pytest.mark.parametrize("size", [2000, 16_000])
@pytest.mark.parametrize("name", ["count", "$skipToken", "modelId", "name", "api-version", "unknown"])
def test_a_query_is_refused_in_few_words(api, name, size, text):
    began = time.monotonic()
    long = quote(text * (size // len(quote(text))))
    known = "" if name == "api-version" else "api-version=2017-09-01-preview&"
    address = str(api.base_url).rstrip("/") + f"/manifests?{known}{quote(name)}={long}"
    with httpx.Client(headers=api.headers, timeout=60) as client:
        assert is_refused_shortly(client.get(address), began)


@pytest.mark.parametrize("size", [1000, 20_000, 100_000])
@pytest.mark.parametrize("name", ["If-Match", "If-None-Match", "Host", *(f"Repeatability-{one}" for one in REPEATABILITY)])
@pytest.mark.parametrize("text", ["x", '"', "a://", "é", '"",'])
def test_a_header_is_refused_in_few_words(api, name, size, text):
    began = time.monotonic()
    headers = {"Repeatability-Request-ID": "one"} if name == "Repeatability-First-Sent" else {}
    value = (text * size)[:size] + "x"
    answer = api.put(f"services/{NOBODY}", json={}, headers={**headers, name: value.encode("latin-1")})
    assert is_refused_shortly(answer, began)


def bodies() -> dict[str, Any]:
    found: dict[str, Any] = {
        "no JSON": "{" * 1_000_000,
        "no object": [1] * 300_000,
        "depth": json.loads("[" * 500 + "]" * 500),
        "a long string": {**MODEL, "description": "x" * 1_000_000},
        "a long name of a property": {**MODEL, "x" * 1_000_000: 1},
        "more than a mebibyte": {**MODEL, "description": "x" * 1_060_000},
        "many properties": {**MODEL, **{f"unknown{number}": number for number in range(50_000)}},
        "many wrong tags": {**MODEL, "tags": list(range(9000))},
        "a long number": "{" + f'"name": {"9" * 100_000}' + "}",
    }
    for text in FOREIGN:
        long = (text * 1000)[:1000]
        found[f"many of {text!a}"] = {f"{long}{number}": long for number in range(200)}
        found[f"tags of {text!a}"] = {**MODEL, "tags": [long] * 200, "mimeType": long, "name": long, "url": long}
    return found


@pytest.mark.parametrize("body", bodies().values(), ids=bodies())
def test_a_body_is_refused_in_few_words(api, body):
    began = time.monotonic()
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    assert is_refused_shortly(api.post("models", content=text.encode(errors="surrogatepass")), began)


@pytest.mark.parametrize("text", FOREIGN)
def test_a_path_is_refused_in_few_words(api, text):
    began = time.monotonic()
    for path in (f"models/{quote(text * 500)}", quote(text * 500), f"computeResources/{quote(text * 300)}"):
        assert is_refused_shortly(api.get(path), began)


@pytest.mark.parametrize("text", ["x", '"', "\\", "é", "😀", "\udfff"])
def test_an_error_of_any_text_and_any_number_of_details_is_short(text):
    details = [Detail("InvalidValue", text * 10_000)] * 1000
    error = ErrorResponse.of(InvalidRequest(text * 100_000, details=details))
    assert len(error.message.encode(errors="replace")) < MOST
    if text != "\udfff":  # has no JSON; `foreign` lets none through
        assert len(error.json_text().encode()) <= MOST


@pytest.mark.parametrize("authorization", ["", "Bearer x"])
def test_nobody_has_more_read_than_the_api_takes(api, authorization):
    answer = api.post("models", content=b"x" * 1_200_000, headers={"Authorization": authorization})
    assert (answer.status_code, answer.content) == (413, b"")


def test_a_body_that_is_a_little_too_large_is_an_error_response(api):
    answer = api.post("models", content=b"x" * (1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "TooLarge")
