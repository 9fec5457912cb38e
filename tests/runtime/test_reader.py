"""Bytes into requests, however they are cut, and whatever they are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.slipway_server.http.messages import Request, Response
from runtime.slipway_server.http.reader import MAX_HEAD, RequestReader

LIMIT = 1000


def request(body: bytes, *fields: str, target: str = "/score", chunked: bool = False) -> bytes:
    """A request as it goes over the wire."""
    length = "transfer-encoding: chunked" if chunked else f"content-length: {len(body)}"
    head = "\r\n".join([f"POST {target} HTTP/1.1", "host: x", length, *fields, "\r\n"])
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:3], body[3:]) if part) + b"0\r\n\r\n"
    return head.encode() + (chunks if chunked else body)


def read(stream: bytes, cuts: list[int] | None = None, limit: int = LIMIT) -> list[Request | Response]:
    """All that the stream asks for, fed in the pieces that the cuts make."""
    reader = RequestReader(limit)
    asked: list[Request | Response] = []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts or []), len(stream)]
    for begin, end in pairwise(edges):
        asked += reader.feed(stream[begin:end])
        if asked and isinstance(asked[-1], Response):
            break
    return asked


def refused(stream: bytes) -> int:
    """The status of the one answer to a stream that is not to be taken."""
    (answer,) = read(stream)
    assert isinstance(answer, Response)
    return answer.status


@given(st.lists(st.tuples(st.binary(max_size=50), st.booleans()), max_size=4), st.lists(st.integers(0, 2000)))
def test_requests_come_out_whole_and_in_order_however_they_are_cut(sent: list[tuple[bytes, bool]], cuts: list[int]) -> None:
    asked = read(b"".join(request(body, chunked=chunked) for body, chunked in sent), cuts)
    assert [each.body for each in asked] == [body for body, _ in sent]
    assert {(each.method, each.path, each.keep_alive) for each in asked} <= {("POST", "/score", True)}


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_no_bytes_are_too_odd(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    assert all(isinstance(each, Request) or 400 <= each.status < 600 for each in read(stream))


@given(st.data())
def test_a_damaged_request_is_a_request_or_a_refusal(data: st.DataObject) -> None:
    stream = bytearray(request(b'{"data": [1, 2]}', "x-tenant: a", chunked=data.draw(st.booleans())))
    for place in data.draw(st.lists(st.integers(0, len(stream) - 1), max_size=5)):
        stream[place] = data.draw(st.integers(0, 255))
    assert all(isinstance(each, Request) or 400 <= each.status < 600 for each in read(bytes(stream)))


def test_header_fields_are_found_without_regard_to_case_and_joined() -> None:
    (asked,) = read(request(b"", "X-Tenant: a", "x-tenant: b"))
    assert (asked.headers["X-TENANT"], asked.headers.get("absent")) == ("a, b", None)


def test_the_query_is_no_part_of_the_path() -> None:
    assert [each.path for each in read(request(b"", target="/score?a=/swagger.json"))] == ["/score"]
    assert [each.path for each in read(request(b"", target="http://other/score"))] == ["/score"]


def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert isinstance(read(request(b"1" * LIMIT))[0], Request)
    assert isinstance(read(request(b"1" * LIMIT, chunked=True))[0], Request)
    assert refused(request(b"1" * (LIMIT + 1))) == 413
    assert refused(request(b"1" * (LIMIT + 1), chunked=True)) == 413


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes() -> None:
    assert refused(b"POST /score HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n") == 413


def test_a_header_is_bounded_whole_or_not() -> None:
    assert refused(request(b"", f"x-long: {'a' * MAX_HEAD}")) == 431
    reader = RequestReader(LIMIT)
    piece = b"POST /score HTTP/1.1\r\nx-long: " + b"a" * 1000
    answers = [answer for _ in range(200) for answer in reader.feed(piece)][:1]
    assert [answer.status for answer in answers] == [431]


def test_trailers_and_the_extensions_of_chunks_are_bounded_too() -> None:
    head = b"POST /score HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1"
    for flood in (b";a=", b"\r\na\r\n0\r\nx-trailer: "):
        reader = RequestReader(LIMIT)
        assert reader.feed(head + flood) == []
        answers = [answer for _ in range(200) for answer in reader.feed(b"a" * 1000)]
        assert answers[0].status in {400, 431}


@pytest.mark.parametrize(
    ("stream", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"POST /score HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n12", 400),
        (b"POST /score HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /score HTTP/1.1\r\nx y: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", 501),
        (b"CONNECT other:443 HTTP/1.1\r\nhost: other\r\n\r\n", 501),
    ],
)
def test_what_is_ambiguous_or_no_http_is_refused(stream: bytes, status: int) -> None:
    assert refused(stream) == status


def test_what_came_before_a_bad_request_is_not_lost() -> None:
    asked = read(request(b"1") + b"\x00\x00")
    assert [type(each) for each in asked] == [Request, Response]
