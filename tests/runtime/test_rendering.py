"""Answers as bytes, whatever a driver says."""

import pytest

from runtime.slipway_server.http.messages import Headers, Request, Response
from runtime.slipway_server.http.rendering import rendered

ASKED = Request.of("POST", "/score", Headers([("x-request-id", "r1")]), b"", keep_alive=True)


def head_of(response: Response) -> list[str]:
    """The lines of the header."""
    return rendered(response, ASKED, last=False).decode("latin-1").partition("\r\n\r\n")[0].split("\r\n")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0", "\x85"])
def test_no_field_of_a_driver_begins_another(end: str) -> None:
    lines = head_of(Response(200, b"", f"text/plain{end}evil: 1", (("x-name", f"a{end}evil: 1"), (f"x{end}evil", "1"))))
    assert not [line for line in lines if line.lower().startswith("evil")]


def test_what_the_server_says_itself_no_driver_says() -> None:
    fields = tuple((name, "9") for name in ("Content-Length", "transfer-encoding", "Connection", "X-Request-Id", "Date"))
    lines = head_of(Response(200, b"1", fields=fields))
    assert [line for line in lines if line.endswith(": 9")] == []
    assert "content-length: 1" in lines


def test_text_that_a_header_cannot_hold_does_no_harm() -> None:
    assert "x-city: ?" in head_of(Response(200, fields=(("x-city", "京"),)))


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_may_have_no_body_has_none(status: int) -> None:
    assert rendered(Response(status, b"1"), ASKED, last=False).endswith(b"\r\n\r\n")
    assert not [line for line in head_of(Response(status, b"1")) if line.startswith("content-length")]


def test_a_status_without_a_name_is_given_as_it_is() -> None:
    assert head_of(Response(299))[0] == "HTTP/1.1 299 "
