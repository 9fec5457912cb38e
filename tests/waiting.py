"""Waiting for what another process does: as long as it takes, and no longer than a bound."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    """Return when the condition holds; raises TimeoutError when it does not in time."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # what happens elsewhere sets no event here
            await asyncio.sleep(0.05)


def eventually[T](read: Callable[[], T], seconds: float = 60) -> T:
    """The first thing read that is true."""
    deadline = time.monotonic() + seconds
    while not (found := read()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return found
