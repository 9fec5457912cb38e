"""Work on files, off the event loop."""

import asyncio
from collections.abc import Callable


async def in_thread[T](work: Callable[[], T]) -> T:
    """What `work` returns. A cancellation waits for it to end, so that nobody clears away what it still writes."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise
