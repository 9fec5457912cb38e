"""What ends a process whose event loop stands still: nothing in it can answer then, nor say that it should be replaced."""

import asyncio
import faulthandler
import sys
from typing import TextIO


def watch(seconds: float, report: TextIO | None = sys.__stderr__) -> None:
    """End this process, with code 1 and the stacks of its threads, when its event loop has not turned for so long.

    It works even where the driver never lets another thread run. Call it on the event loop.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=report or sys.stderr)
    asyncio.get_running_loop().call_later(seconds / 4, watch, seconds, report)


def let_be() -> None:
    """Watch no longer."""
    faulthandler.cancel_dump_traceback_later()
