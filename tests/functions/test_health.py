"""Readiness: storage answers in time, and is not asked more often than it must be."""

import asyncio
import json
from datetime import timedelta

import azure.functions as func
import pytest

from functions.answering import answered
from functions.health import health_reply
from shared.domain.accounts import Account
from shared.domain.documents import Held
from shared.domain.errors import Unavailable
from shared.resources.health import Health
from shared.version import VERSION
from tests.twins import ManualClock

ACCOUNT = Account("s", "g", "a")


class _Storage:
    """Storage as far as health asks it: it counts, and can be away or hang."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.hangs = False

    async def held(self, account: Account, key: str) -> Held | None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise Unavailable("read: storage could not be reached.") from OSError("http://store/?sig=SECRET")
        return None


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def storage() -> _Storage:
    return _Storage()


@pytest.fixture
def health(storage, clock) -> Health:
    return Health(storage, clock, ACCOUNT, bound=0.05)


async def test_an_app_whose_storage_is_away_answers_503_with_its_version(health, storage):
    request = func.HttpRequest("GET", "http://127.0.0.1/api/health", headers={}, params={}, route_params={}, body=b"")
    storage.away = True
    answer = await answered(request, "GET check_health", lambda: health_reply(health, request))
    told = json.loads(answer.get_body())
    assert (answer.status_code, told["statusCode"], told["code"]) == (503, 503, "NotReady")
    assert (told["ready"], told["version"]) == (False, VERSION)
    assert int(answer.headers["Retry-After"]) > 0
    assert "SECRET" not in answer.get_body().decode()


async def test_it_is_ready_while_storage_answers(health):
    assert await health.ready()


async def test_many_who_ask_at_once_ask_storage_once(health, storage):
    assert all(await asyncio.gather(*(health.ready() for _ in range(100))))
    assert storage.asked == 1


async def test_an_answer_holds_for_some_seconds_and_no_longer(health, storage, clock):
    assert await health.ready()
    storage.away = True
    assert await health.ready()
    clock.advance(timedelta(seconds=6))
    assert not await health.ready()
    storage.away = False
    assert not await health.ready()
    clock.advance(timedelta(seconds=6))
    assert await health.ready()
    assert storage.asked == 3


async def test_storage_that_is_away_is_logged_with_the_cause_once(health, storage, caplog):
    storage.away = True
    assert not await health.ready()
    assert not await health.ready()
    (record,) = caplog.records
    assert "caused by OSError: http://store/" in record.getMessage()
    assert "SECRET" not in record.getMessage()


async def test_storage_that_hangs_is_not_waited_for(health, storage):
    storage.hangs = True
    assert not await asyncio.wait_for(health.ready(), 5)
