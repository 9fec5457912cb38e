"""Threads for drivers that are not asynchronous."""

import asyncio
import contextlib
import contextvars
import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

type _Job = Callable[[], None]


class Workers:
    """Runs calls in at most `count` threads, started as they are needed.

    They are daemons: a call that never returns keeps its thread, but does not keep the process from ending. That is what
    the standard library's pool cannot promise.

    To wake a thread takes longer than most calls, and so does to wake the event loop. So what is submitted in one turn of
    the loop wakes one thread, which does all that it finds; while something is left, each further turn wakes one more.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._threads: list[threading.Thread] = []
        self._asleep: set[int] = set()
        self._wake: SimpleQueue[bool] = SimpleQueue()  # False ends a thread
        self._jobs: deque[_Job] = deque()
        self._looking = False
        self._finished: deque[_Job] = deque()
        self._collecting = False

    def submit[T](self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Run a call that raises nothing in a thread, in the context of now.

        It goes on when the future is cancelled: nothing stops a thread.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def job() -> None:
            outcome = context.run(call)
            self._finished.append(lambda: None if future.done() else future.set_result(outcome))
            self._tell(loop)

        self._jobs.append(job)
        if not self._looking:
            self._look(loop)
        return future

    def stacks(self) -> str:
        """Where each thread is."""
        frames = sys._current_frames()  # noqa: SLF001  there is no other way to see another thread
        running = [(thread.name, frames[thread.ident or 0]) for thread in self._threads if thread.ident in frames]
        return "".join(f"{name}:\n{''.join(traceback.format_stack(frame))}" for name, frame in running)

    def end(self) -> None:
        """End the threads, when they have nothing to do; what is submitted later starts others."""
        for _ in self._threads:
            self._wake.put(False)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._asleep.clear()
        self._looking = self._collecting = False

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looking = bool(self._jobs) and self._wake_one()
        if self._looking:
            self._collecting = True  # by the next look: it need not be told
            loop.call_soon(self._look_again, loop)

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        os.sched_yield()  # where there is one core, the thread that was woken works now, and often is done after this
        self._collect()
        self._look(loop)

    def _wake_one(self) -> bool:
        if len(self._asleep) > self._wake.qsize():
            self._wake.put(True)
        elif len(self._threads) < self._count:
            name = f"driver-{len(self._threads) + 1}"
            self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
            self._threads[-1].start()
        else:
            return False  # all are awake, and look for what is left before they sleep
        return True

    def _work(self) -> None:
        me = threading.get_ident()
        go_on = True
        while go_on:
            self._work_off()
            self._asleep.add(me)
            # Whoever submits something sees that this one sleeps from here on; what came just before is seen here.
            go_on = bool(self._jobs) or self._wake.get()
            self._asleep.discard(me)

    def _work_off(self) -> None:
        with contextlib.suppress(IndexError):  # another took the last
            while self._jobs:
                self._jobs.popleft()()

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the event loop collect what is finished; one that is told already collects this, too."""
        if not self._collecting:
            self._collecting = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        self._collecting = False
        while self._finished:
            self._finished.popleft()()
