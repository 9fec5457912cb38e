"""Connections, byte by byte: what polite and impolite clients see."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from runtime.slipway_server.http.connection import Connection
from runtime.slipway_server.http.messages import Request, Response
from tests.runtime.replicas import Replica, Start
from tests.waiting import until

ECHO = "def run(body):\n    return body\n"
LARGE = "def run(body):\n    return 'x' * 10_000_000\n"


@asynccontextmanager
async def connected(replica: Replica) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A plain connection to the replica."""
    reader, writer = await asyncio.open_connection("127.0.0.1", replica.port)
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.close()


def scoring(body: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([b"POST /score HTTP/1.1", b"host: x", b"content-length: %d" % len(body), *fields, b"", body])


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """The next answer: status, header, body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = head.strip().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), fields, await reader.readexactly(int(fields["content-length"]))


async def test_requests_sent_ahead_are_answered_in_their_order(start: Start) -> None:
    replica = await start(ECHO).ready()
    async with connected(replica) as (reader, writer):
        writer.write(b"".join(scoring(b"%d" % number) for number in range(50)))
        assert [(await answer(reader))[2] for _ in range(50)] == [b"%d" % number for number in range(50)]


async def test_a_connection_is_kept_unless_the_client_says_otherwise(start: Start) -> None:
    replica = await start(ECHO).ready()
    async with connected(replica) as (reader, writer):
        writer.write(scoring(b"1"))
        assert (await answer(reader))[1]["connection"] == "keep-alive"
        writer.write(scoring(b"2", b"connection: close"))
        assert (await answer(reader))[1]["connection"] == "close"
        assert await reader.read() == b""


async def test_an_old_client_gets_its_answer_and_the_end(start: Start) -> None:
    replica = await start(ECHO).ready()
    async with connected(replica) as (reader, writer):
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await answer(reader))[2] == b"Healthy"
        assert await reader.read() == b""


async def test_who_asks_before_sending_a_body_is_told_to_go_on(start: Start) -> None:
    replica = await start(ECHO).ready()
    async with connected(replica) as (reader, writer):
        writer.write(b"POST /score HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"7")
        assert (await answer(reader))[2] == b"7"


async def test_who_asks_before_sending_too_much_is_told_not_to(start: Start) -> None:
    replica = await start(ECHO, max_body=10).ready()
    async with connected(replica) as (reader, writer):
        writer.write(b"POST /score HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 11\r\n\r\n")
        assert (await answer(reader))[0] == 413


async def test_a_refused_client_that_goes_on_sending_still_gets_its_answer(start: Start) -> None:
    replica = await start(ECHO, max_body=10).ready()
    async with connected(replica) as (reader, writer):
        writer.write(b"POST /score HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000\r\n\r\n")
        writer.write(b"1" * 5_000_000)
        await writer.drain()
        status, fields, _ = await answer(reader)
        assert (status, fields["connection"]) == (413, "close")
        assert await reader.read() == b""


async def test_nonsense_is_answered_with_a_400_and_the_end(start: Start) -> None:
    replica = await start(ECHO).ready()
    async with connected(replica) as (reader, writer):
        writer.write(b"\x16\x03\x01 is no HTTP\r\n\r\n")
        assert (await answer(reader))[0] == 400
        assert await reader.read() == b""
    assert await replica.health() == 200


@pytest.mark.parametrize("begun", [b"POST /sc", scoring(b"12345")[:-1]])
async def test_a_request_that_does_not_arrive_in_time_is_refused(start: Start, begun: bytes) -> None:
    replica = await start(ECHO, request_timeout=1).ready()
    async with connected(replica) as (reader, writer):
        writer.write(begun)
        assert (await answer(reader))[0] == 408
        assert await reader.read() == b""


async def test_a_request_that_has_begun_when_the_replica_stops_is_answered(start: Start) -> None:
    replica = await start(ECHO).ready()

    async def closed() -> bool:
        return not await replica.listens()

    async with connected(replica) as (reader, writer):
        writer.write(scoring(b"12345")[:-1])
        assert (await replica.score({})).status_code == 200
        replica.stop()
        await until(closed)
        writer.write(b"5")
        status, fields, body = await answer(reader)
        assert (status, fields["connection"], body) == (200, "close", b"12345")
    assert replica.ended() == 0


async def test_a_client_that_does_not_take_its_answers_holds_no_slot(start: Start) -> None:
    replica = await start(LARGE, max_concurrency=1).ready()
    async with connected(replica) as (reader, writer):
        writer.write(scoring(b"1") * 3)
        for _ in range(3):
            assert len((await replica.score({})).content) == 10_000_002
        assert [len((await answer(reader))[2]) for _ in range(3)] == [10_000_002] * 3


@pytest.mark.parametrize("asked", [1, 3])
async def test_a_client_that_never_takes_its_answers_is_let_go(asked: int) -> None:
    connections = set[Connection]()

    def answer_at_length(_: Request, reply: Callable[[Response], None]) -> None:
        reply(Response(200, bytes(30_000_000)))

    def connection() -> Connection:
        return Connection(answer_at_length, connections, max_body=1, arrival=60, idle=0.05)

    async def let_go() -> bool:
        return not connections

    async with await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * asked)
        await asyncio.sleep(0)
        await until(let_go)
        writer.close()
