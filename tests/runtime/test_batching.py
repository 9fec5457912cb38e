"""Micro-batching: what arrives at about the same time goes to `run_batch` as one list."""

import asyncio
import contextvars
from collections.abc import Sequence

import pytest

from runtime.slipway_server.http.messages import Headers, Request, Response
from runtime.slipway_server.work.batching import Batching
from tests.runtime.replicas import Start

SIZES = """
import time
def run(body):
    return [body, 0]
def run_batch(bodies):
    time.sleep(0.02)
    return [ValueError(body) if body == 13 else [body, len(bodies)] for body in bodies]
"""


async def test_each_caller_gets_its_own_answer_of_a_batch(start: Start) -> None:
    replica = await start(SIZES, max_concurrency=8, max_waiting=30, batch_size=8, batch_milliseconds=60_000).ready()
    answers = await asyncio.gather(*(replica.score(number) for number in range(20, 36)))
    assert [answer.json()[0] for answer in answers] == list(range(20, 36))
    assert max(answer.json()[1] for answer in answers) == 8


async def test_a_batch_is_never_larger_than_the_slots(start: Start) -> None:
    replica = await start(SIZES, max_concurrency=3, max_waiting=30, batch_size=8, batch_milliseconds=60_000).ready()
    answers = await asyncio.gather(*(replica.score(number) for number in range(12)))
    assert {answer.json()[1] for answer in answers} == {3}


async def test_the_first_of_a_batch_waits_no_longer_than_it_is_told_to(start: Start) -> None:
    replica = await start(SIZES, batch_size=8, batch_milliseconds=10).ready()
    assert (await replica.score(1)).json() == [1, 1]


async def test_an_error_of_one_is_no_error_of_the_others(start: Start) -> None:
    replica = await start(SIZES, batch_size=3, batch_milliseconds=60_000).ready()
    answers = await asyncio.gather(*(replica.score(number) for number in (12, 13, 14)))
    assert [answer.status_code for answer in answers] == [200, 500, 200]


async def test_an_exception_fails_the_whole_batch(start: Start) -> None:
    source = "def run(body):\n    pass\ndef run_batch(bodies):\n    raise ValueError\n"
    replica = await start(source, batch_size=3, batch_milliseconds=60_000).ready()
    answers = await asyncio.gather(*(replica.score(number) for number in range(3)))
    assert [answer.status_code for answer in answers] == [500] * 3


@pytest.mark.parametrize(("size", "batched"), [(1, True), (8, False)])
async def test_without_the_setting_or_the_function_there_are_no_batches(start: Start, size: int, batched: bool) -> None:
    replica = await start(SIZES if batched else SIZES.replace("run_batch", "other"), batch_size=size).ready()
    assert (await replica.score(1)).json() == [1, 0]


async def test_a_batch_is_worked_on_in_the_context_of_its_first() -> None:
    whose = contextvars.ContextVar[str]("whose")
    seen = list[str]()

    def start_batch(requests: Sequence[Request]) -> asyncio.Future[list[Response]]:
        seen.append(whose.get())
        work: asyncio.Future[list[Response]] = asyncio.get_running_loop().create_future()
        work.set_result([Response(200, request.body) for request in requests])
        return work

    def begin(body: bytes) -> asyncio.Future[Response]:
        whose.set(body.decode())
        return batching.start(Request.of("POST", "/score", Headers(), body, keep_alive=True))

    batching = Batching(start_batch, 2, 60)
    first, second = (contextvars.copy_context().run(begin, body) for body in (b"a", b"b"))
    assert [(await first).body, (await second).body, *seen] == [b"a", b"b", "a"]


async def test_what_goes_wrong_with_a_batch_goes_to_each_of_it() -> None:
    def start_batch(_: Sequence[Request]) -> asyncio.Future[list[Response]]:
        work: asyncio.Future[list[Response]] = asyncio.get_running_loop().create_future()
        work.set_exception(ValueError("a bug"))
        return work

    answer = Batching(start_batch, 1, 60).start(Request.of("POST", "/score", Headers(), b"", keep_alive=True))
    with pytest.raises(ValueError, match="a bug"):
        await answer
