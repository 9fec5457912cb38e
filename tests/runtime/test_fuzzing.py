"""Ten thousand malformed requests over real connections: no crash, no failure of the server."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator

from tests.runtime.replicas import Start

COUNT = 10_000
AT_ONCE = 40
SECONDS = 60
_LINES = (
    b"", b" ", b":", b"\t", b"x y: 1", b"a" * 9000, b"content-length: 5", b"content-length: -1", b"content-length: 0x5",
    b"content-length: 99999999999999999999", b"transfer-encoding: x", b"transfer-encoding: chunked", b"expect: 100-continue",
    b"upgrade: h2c", b"connection: upgrade", b"x-request-id: \xe9\x00", b"traceparent: 00-0-0-0", b"authorization: Bearer",
)  # fmt: skip
_DAMAGE = (
    b"\x00", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b":", b"\xff", b"HTTP/1.1", b"HTTP/9.9", b"POST", b"0\r\n\r\n",
    b"[" * 2000, b"fffffffff\r\n", b"{", b'"', b"\\ud800", b"1e999", b"NaN", b"%", b"//", b"?", b"#", b"*", b"../", b"http://[::1",
)  # fmt: skip
_METHODS = (b"POST", b"POST", b"POST", b"GET", b"HEAD", b"OPTIONS", b"PRI", b"")
_TARGETS = (b"/score", b"/score", b"/score", b"/", b"*", b"/metrics")
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"")
_BODIES = (b"1", b'{"data": [1, 2]}', b"", b"\xff", b"x" * 3000)


def malformed(chance: random.Random) -> bytes:
    """A request that was right until it was damaged, or that never was one."""
    body = chance.choice(_BODIES)
    length = chance.choice([len(body), len(body) + chance.randint(-3, 3), chance.randint(0, 10**6)])
    head = [b" ".join((chance.choice(_METHODS), chance.choice(_TARGETS), chance.choice(_VERSIONS)))]
    head += [b"host: x", b"content-length: %d" % length, b"connection: close", *chance.sample(_LINES, chance.randint(0, 2))]
    stream = bytearray(b"\r\n".join(head) + b"\r\n\r\n" + body)
    for _ in range(chance.randint(0, 2)):
        place = chance.randrange(len(stream) + 1)
        stream[place : place + chance.choice([0, 1, 5])] = chance.choice(_DAMAGE)
    return bytes(stream)


async def sent(port: int, requests: Iterator[bytes], statuses: Counter[bytes]) -> None:
    """Send them one by one, each over a connection of its own, and count what comes back."""
    for request in requests:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            writer.write_eof()
            answers = await reader.read()
            statuses.update(line.split()[1] for line in answers.split(b"\r\n") if line.startswith(b"HTTP/1.1 "))
        except ConnectionError:
            statuses[b"reset"] += 1
        finally:
            writer.close()


async def test_no_request_is_too_odd_for_a_running_server(start: Start) -> None:
    replica = await start("def run(body):\n    return body\n", max_body=100_000, max_waiting=2 * AT_ONCE).ready()
    chance, statuses, began = random.Random(6), Counter[bytes](), time.monotonic()
    requests = (malformed(chance) for _ in range(COUNT))
    await asyncio.gather(*(sent(replica.port, requests, statuses) for _ in range(AT_ONCE)))
    assert not [status for status in statuses if status.startswith(b"5") and status not in {b"501", b"503"}], statuses
    assert statuses.total() > COUNT * 0.9  # some end before there is anything to answer
    assert min(statuses[status] for status in (b"200", b"400", b"405", b"413")) > 100, statuses
    assert (await replica.score([1])).json() == [1]
    assert not [line for line in replica.log if "The server failed" in line.message or "slipway_server" in line.message]
    assert time.monotonic() - began < SECONDS
