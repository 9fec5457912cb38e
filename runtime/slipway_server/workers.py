"""Threads for drivers that are not asynchronous."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue

type _Job = Callable[[], None]


class Workers:
    """Runs calls in at most `count` threads, started as they are needed.

    They are daemons: a call that never returns keeps its thread, but does not keep the process from ending. That is what
    the standard library's pool cannot promise.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._started = 0
        self._busy = 0
        self._jobs: SimpleQueue[_Job] = SimpleQueue()

    def submit[T](self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Run a call that raises nothing in a thread, in the context of now.

        It goes on when the future is cancelled: nothing stops a thread.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def job() -> None:
            outcome = context.run(call)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._finish, future, outcome)

        self._busy += 1
        self._ensure_thread()
        self._jobs.put(job)
        return future

    def _ensure_thread(self) -> None:
        if self._started < min(self._busy, self._count):
            self._started += 1
            threading.Thread(target=self._work, name=f"driver-{self._started}", daemon=True).start()

    def _work(self) -> None:
        while True:
            self._jobs.get()()

    def _finish[T](self, future: asyncio.Future[T], outcome: T) -> None:
        self._busy -= 1
        if not future.done():
            future.set_result(outcome)
