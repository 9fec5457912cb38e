"""The keys of an issuer: fetched seldom, by one fetch at a time, and used while others cannot be had."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from shared.domain.errors import Unauthenticated, Unavailable
from shared.identity.keys import SigningKeys
from tests.twins import ManualClock

JWK = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
DAY = timedelta(days=1)


class Publisher:
    """An issuer's key set, that fails or hangs as it is told, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.status = 200
        self.text: bytes | None = None
        self.free = asyncio.Event()
        self.free.set()
        self.url = ""

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        await self.free.wait()
        if self.text is not None:
            return web.Response(body=self.text)
        return web.json_response({"keys": [{**JWK, "kid": "one"}]}, status=self.status)


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    publisher, app = Publisher(), web.Application()
    app.router.add_get("/keys", publisher.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    publisher.url = "http://{}:{}/keys".format(*runner.addresses[0][:2])
    yield publisher
    publisher.free.set()
    await runner.cleanup()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keys(publisher, clock) -> SigningKeys:
    return SigningKeys(publisher.url, clock.monotonic, timeout=5)


async def refusals(keys: SigningKeys, count: int) -> set[type[Exception]]:
    answers = await asyncio.gather(*(keys.key(f"unknown {number}") for number in range(count)), return_exceptions=True)
    return {type(answer) for answer in answers}


async def test_unknown_keys_cause_one_fetch_in_half_a_minute(keys, publisher, clock):
    for _ in range(3):
        assert await refusals(keys, 100) == {Unauthenticated}
    assert publisher.asked == 1
    clock.advance(timedelta(seconds=31))
    assert await refusals(keys, 100) == {Unauthenticated}
    assert publisher.asked == 2


@pytest.mark.parametrize("text", [None, b"nonsense", b"{}", b'{"keys": 7}', b"[" * 100_000, b" " * 2_000_000])
async def test_a_fetch_that_fails_counts_as_well(keys, publisher, text):
    publisher.status, publisher.text = 500, text
    for _ in range(3):
        assert await refusals(keys, 100) == {Unavailable}
    assert publisher.asked == 1


async def test_keys_that_are_not_fresh_are_used_while_others_are_fetched(keys, publisher, clock):
    known = await keys.key("one")
    clock.advance(2 * DAY)
    publisher.free.clear()
    async with asyncio.timeout(2):
        assert [await keys.key("one") for _ in range(20)] == [known] * 20
    publisher.free.set()


async def test_keys_are_used_for_a_week_while_the_issuer_is_away(keys, publisher, clock):
    known = await keys.key("one")
    publisher.status = 500
    for _ in range(6):
        clock.advance(DAY)
        assert await keys.key("one") is known
    clock.advance(2 * DAY)
    with pytest.raises(Unavailable):
        await keys.key("one")
    publisher.status = 200
    clock.advance(timedelta(seconds=31))
    await keys.key("one")


async def test_nobody_waits_for_more_than_one_fetch(publisher, clock):
    keys = SigningKeys(publisher.url, clock.monotonic, timeout=0.5)
    publisher.free.clear()
    async with asyncio.timeout(4):
        assert await refusals(keys, 50) == {Unavailable}
    assert publisher.asked == 1


async def test_a_caller_that_goes_away_does_not_end_the_fetch_of_the_others(keys, publisher):
    publisher.free.clear()
    first, second = asyncio.create_task(keys.key("one")), asyncio.create_task(keys.key("one"))
    while not publisher.asked:  # noqa: ASYNC110  # what the server does sets no event here
        await asyncio.sleep(0.01)
    first.cancel()
    publisher.free.set()
    assert await second is not None
