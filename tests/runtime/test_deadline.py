"""Deadlines that are put off and lifted."""

import asyncio
from functools import partial

import pytest

from runtime.slipway_server.work.deadline import Deadline, TimeLimit


async def reached(event: asyncio.Event) -> bool:
    async with asyncio.timeout(5):
        return await event.wait()


async def test_it_calls_when_the_time_is_up() -> None:
    called = asyncio.Event()
    Deadline().set(0.01, called.set)
    assert await reached(called)


async def test_put_off_it_calls_the_last_that_it_was_told_and_not_before() -> None:
    called, began = asyncio.Event(), asyncio.get_running_loop().time()
    deadline = Deadline()
    deadline.set(0.01, pytest.fail)
    deadline.set(0.05, called.set)
    assert await reached(called)
    assert asyncio.get_running_loop().time() - began >= 0.05


async def test_brought_forward_it_calls_earlier() -> None:
    called = asyncio.Event()
    deadline = Deadline()
    deadline.set(60, pytest.fail)
    deadline.set(0.01, called.set)
    assert await reached(called)


@pytest.mark.parametrize("end", [Deadline.lift, Deadline.forget])
async def test_lifted_it_calls_nothing(end: object) -> None:
    failed, later = asyncio.Event(), asyncio.Event()
    deadline, other = Deadline(), Deadline()
    deadline.set(0.01, failed.set)
    end(deadline)
    other.set(0.03, later.set)
    assert await reached(later)
    assert not failed.is_set()


async def test_lifted_it_can_be_set_again() -> None:
    called = asyncio.Event()
    deadline = Deadline()
    deadline.set(60, pytest.fail)
    deadline.lift()
    deadline.set(0.01, called.set)
    assert await reached(called)


async def test_a_time_limit_calls_those_that_are_late_in_their_order_and_no_others() -> None:
    limit, done, called = TimeLimit(0.05), asyncio.Event(), list[str]()
    calls = {name: partial(called.append, name) for name in "abc"}
    for name in "abc":
        limit.start(calls[name])
    limit.stop(calls["b"])
    limit.start(done.set)
    assert await reached(done)
    assert called == ["a", "c"]


async def test_a_time_limit_gives_each_its_whole_time() -> None:
    limit, first, second = TimeLimit(0.05), asyncio.Event(), asyncio.Event()
    limit.start(first.set)
    await asyncio.sleep(0.03)
    began = asyncio.get_running_loop().time()
    limit.start(second.set)
    assert await reached(first)
    assert not second.is_set()
    assert await reached(second)
    assert asyncio.get_running_loop().time() - began >= 0.05


async def test_a_time_limit_that_everybody_kept_can_be_used_again() -> None:
    limit, called = TimeLimit(0.02), asyncio.Event()
    limit.start(pytest.fail)
    limit.stop(pytest.fail)
    limit.start(called.set)
    assert await reached(called)
