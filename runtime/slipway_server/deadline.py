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
