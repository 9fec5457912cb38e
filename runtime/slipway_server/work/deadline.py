"""Deadlines that move with every request, and so must cost next to nothing."""

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls what it was told to, unless it is put off or lifted in time. One timer of the event loop serves it for long."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._when: float | None = None

    def set(self, seconds: float, call: Callable[[], None]) -> None:
        """Call that in so many seconds, and nothing before."""
        self._when, self._call = self._loop.time() + seconds, call
        if self._timer is None or self._timer.when() > self._when:
            self._start_timer(self._when)

    def lift(self) -> None:
        """Call nothing."""
        self._when = None

    def forget(self) -> None:
        """Call nothing ever again."""
        self._when = None
        if self._timer:
            self._timer.cancel()

    def _start_timer(self, when: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        if self._when is None:
            return
        if self._loop.time() < self._when:
            self._start_timer(self._when)
        else:
            self._call()


class TimeLimit:
    """The same time for each of many. Those that keep it cost next to nothing: one timer serves all."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: dict[Callable[[], None], float] = {}
        self._deadline: Deadline | None = None

    def start(self, late: Callable[[], None]) -> None:
        """Call that when the time is up, unless it is stopped before."""
        self._deadline = self._deadline or Deadline()
        self._running[late] = asyncio.get_running_loop().time() + self.seconds
        if len(self._running) == 1:
            self._deadline.set(self.seconds, self._time_is_up)

    def stop(self, late: Callable[[], None]) -> None:
        """It is in time; or it was not, and this changes nothing."""
        self._running.pop(late, None)
        if not self._running and self._deadline:
            self._deadline.lift()

    def _time_is_up(self) -> None:
        now = asyncio.get_running_loop().time()
        for late in [late for late, when in self._running.items() if when <= now]:
            del self._running[late]
            late()
        if self._running and self._deadline:
            self._deadline.set(next(iter(self._running.values())) - now, self._time_is_up)
