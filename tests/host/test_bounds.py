"""What a caller may send and how long it may take, as Kestrel bounds it for the real host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import uvicorn

from local.host import config
from local.host.connection import BoundedConnection, Limits
from local.host.refusal import Refused


async def answering(scope, receive, send):
    """An app that reads the whole body and answers how long it is."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    text = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(text)).encode())]})
    await send({"type": "http.response.body", "body": text})


@asynccontextmanager
async def server(**limits: float) -> AsyncIterator[int]:
    """A server with those limits; its port."""
    kind = type("Connection", (BoundedConnection,), {"limits": Limits(**limits)})
    settings = uvicorn.Config(answering, port=0, http=kind, interface="asgi3", lifespan="off", log_config=None, ws="none")
    settings.load()
    state = SimpleNamespace(connections=set(), tasks=set(), default_headers=[], total_requests=0)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: kind(config=settings, server_state=state, app_state={}, _loop=loop), "127.0.0.1", 0
    )
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def answer_to(port: int, *parts: bytes) -> bytes:
    """All that is answered to those parts, until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b"closed"
    finally:
        writer.close()


REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (REQUEST, b"200"),
        (b"GET /" + b"a" * 8000 + REQUEST[5:], b"200"),
        (b"GET /" + b"a" * 9000 + REQUEST[5:], b"414"),
        (b"GET /?" + b"a" * 40_000_000 + REQUEST[5:], b"414"),
        (REQUEST[:-2] + b"X: " + b"a" * 30_000 + b"\r\n\r\n", b"200"),
        (REQUEST[:-2] + b"X: " + b"a" * 33_000 + b"\r\n\r\n", b"431"),
        (REQUEST[:-2] + b"X: " + b"a" * 5_000_000, b"431"),
        (REQUEST[:-2] + b"X: a\r\n" * 200 + b"\r\n", b"431"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
    ids=["small", "line", "long line", "very long line", "headers", "large header", "endless header", "many", "none"],
)
async def test_a_head_is_bounded(request_bytes, status):
    async with server() as port:
        answer = await answer_to(port, request_bytes)
    assert answer == b"closed" or answer.startswith(b"HTTP/1.1 " + status)
    assert answer != b"closed" or status in (b"414", b"431")


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\n"], ids=["nothing", "a letter", "half"])
async def test_a_head_that_does_not_come_ends(sent):
    async with server(head_seconds=0.2) as port:
        answer = await answer_to(port, sent)
    assert answer.startswith(b"HTTP/1.1 408") if sent else answer == b""


async def test_the_next_head_of_a_connection_has_a_time_of_its_own():
    async with server(head_seconds=0.2) as port:
        answer = await answer_to(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in answer


async def test_a_body_that_drips_ends():
    async with server(body_grace_seconds=0.2) as port:
        answer = await answer_to(port, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n", b"x")
    assert answer.startswith(b"HTTP/1.1 408")


async def test_a_body_that_comes_is_answered():
    async with server() as port:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 900000\r\n\r\n"
        assert (await answer_to(port, head, b"x" * 900_000)).endswith(b"900000")


def test_the_largest_body_is_the_host_s_or_the_app_s():
    assert config.largest_body({}) == 100 * 1024 * 1024
    assert config.largest_body({"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "1048576"}) == 1024 * 1024
    with pytest.raises(Refused, match="FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: got 'much'"):
        config.largest_body({"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "much"})
