"""Tasks that nobody awaits."""

import asyncio
import logging
from collections.abc import Coroutine

_logger = logging.getLogger(__name__)


class Background:
    """Holds tasks while they run, and logs those that break."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run that; the task is for those who want to cancel it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self) -> None:
        """Cancel all, and wait for their ends."""
        for task in self._tasks:
            task.cancel()
        await self.finished()

    async def finished(self) -> None:
        """Wait for all, and for those that they start."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _logger.error("a task broke", exc_info=error)
