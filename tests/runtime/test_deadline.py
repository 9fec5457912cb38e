"""Deadlines that are put off and lifted."""

import asyncio

import pytest

from runtime.slipway_server.deadline import Deadline


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
