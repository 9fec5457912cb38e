"""Responses of a driver's own: status, headers, content type and body."""

import pytest

from tests.runtime.replicas import Start

OWN = """
from types import SimpleNamespace
def run(body):
    return SimpleNamespace(**{"status_code": 200, "headers": {}, **body})
"""


@pytest.mark.parametrize(
    ("given", "status", "kind", "content"),
    [
        ({"body": "text", "status_code": 201}, 201, "text/plain; charset=utf-8", b"text"),
        ({"body": {"a": [1]}}, 200, "application/json", b'{"a": [1]}'),
        ({"body": "<a/>", "headers": {"Content-Type": "text/xml"}}, 200, "text/xml", b"<a/>"),
        ({"body": "a,b", "content_type": "text/csv"}, 200, "text/csv", b"a,b"),
        ({"body": "left out", "status_code": 204}, 204, "text/plain; charset=utf-8", b""),
    ],
)
async def test_a_response_of_its_own_goes_out_as_it_is(
    start: Start, given: dict[str, object], status: int, kind: str, content: bytes
) -> None:
    replica = await start(OWN).ready()
    answer = await replica.score(given)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (status, kind, content)


async def test_its_headers_go_out_but_those_that_are_the_servers(start: Start) -> None:
    replica = await start(OWN).ready()
    headers = [["X-Model", "7"], ["set-cookie", "a=1"], ["Set-Cookie", "b=2"], ["Content-Length", "9"], ["connection", "x"]]
    answer = await replica.score({"body": "text", "headers": headers}, headers={"x-request-id": "mine"})
    assert (answer.headers["x-model"], answer.headers["content-length"]) == ("7", "4")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert (answer.headers["connection"], answer.headers["x-request-id"]) == ("keep-alive", "mine")


@pytest.mark.parametrize(
    "given",
    [
        {"body": "", "headers": {"x-a": "1\r\nx-b: 2"}},
        {"body": "", "headers": {"x a": "1"}},
        {"body": "", "headers": {"x-a": "€"}},
        {"body": "", "content_type": "text/plain\r\nx-b: 2"},
        {"body": "", "status_code": 101},
        {"body": "", "status_code": 999},
    ],
)
async def test_one_that_is_no_response_of_http_is_a_failure_of_the_driver(start: Start, given: dict[str, object]) -> None:
    replica = await start(OWN).ready()
    answer = await replica.score(given)
    assert answer.status_code == 500
    assert "x-b" not in answer.headers


async def test_what_only_looks_a_little_like_one_is_json(start: Start) -> None:
    replica = await start("def run(body):\n    return {'status_code': 404, 'headers': {}, 'body': ''}\n").ready()
    answer = await replica.score({})
    assert (answer.status_code, answer.json()["status_code"]) == (200, 404)


async def test_bytes_are_bytes(start: Start) -> None:
    source = """
    from types import SimpleNamespace
    def run(body: bytes):
        return SimpleNamespace(status_code=200, headers={"content-type": "image/png"}, body=memoryview(body))
    """
    replica = await start(source).ready()
    answer = await replica.score(b"\x89PNG\x00\xff")
    assert (answer.headers["content-type"], answer.content) == ("image/png", b"\x89PNG\x00\xff")
