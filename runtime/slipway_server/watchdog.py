"""What ends a process whose event loop stands still: nothing in it can answer then, nor say that it should be replaced."""

import asyncio
import faulthandler
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def watched(seconds: float) -> Iterator[None]:
    """In this context, which is the event loop's, end the process when the loop has not turned for so long.

    The exit code is 1, and the stacks of its threads are on standard error. It works even where the driver never lets
    another thread run.
    """
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def watch() -> None:
        nonlocal timer
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)
        timer = loop.call_later(seconds / 4, watch)

    watch()
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()
