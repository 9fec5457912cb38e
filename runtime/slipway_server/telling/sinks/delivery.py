"""Bringing records to a destination that may be slow or away, in a thread of its own."""

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Protocol

from ...logs import log
from ..gathering import Gathering
from ..records import Handover, Record
from ..totals import Totals

BOUND = 32 * 1024 * 1024
"""So many bytes of records may wait for a destination; what comes on top is lost, and counted."""
_TOGETHER = 1024 * 1024  # so many bytes go out without waiting for more
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0
_SAY_AGAIN_SECONDS = 60.0


class Away(Exception):
    """The destination does not take it now. The message says why, without secrets."""


class Refused(Exception):
    """The destination never will take it. The message says why, without secrets."""


class TooLarge(Exception):
    """One row, which is no longer in the parcel, is larger than the destination takes. The message says why."""


class Parcel(Protocol):
    """What is sent as one."""

    def __len__(self) -> int:
        """How many rows, or reports, are in it that were not sent yet."""


class Sink[P: Parcel](Protocol):
    """A destination."""

    def parcels(self, records: Iterable[Record]) -> Iterable[P]:
        """The records as it takes them."""

    def send(self, parcel: P) -> None:
        """Send all of it that was not sent yet. It is called again after Away and TooLarge. Raises them, and Refused."""


class Delivery:
    """Hands records to one destination in its own time, and counts what it got and what it never will."""

    def __init__(self, name: str, make: Callable[[], Sink[Any]], seconds: float, totals: Totals, *, collects: bool) -> None:
        """`make` connects, and raises ValueError for a connection string that is none; records wait `seconds` for others.

        It is for collected data, or else for reports.
        """
        self._name = name
        self._make = make
        self._totals = totals
        self._collects = collects
        self._gathering: Gathering[Handover] = Gathering(BOUND, seconds, _TOGETHER)
        self._deadline = float("inf")
        self._stopping = threading.Event()
        self._said = -_SAY_AGAIN_SECONDS
        self._next: Sequence[Handover] = ()
        self._under_way: Sequence[Parcel] = ()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, handover: Handover) -> None:
        """Take its records, if there is room."""
        count = handover.count(collected=self._collects)
        if count and not self._gathering.put(handover, len(handover.data)):
            self._totals.add(self._name, lost=count)

    def stop(self, deadline: float) -> None:
        """Finish with what is there, by that time (of the monotonic clock)."""
        self._deadline = deadline
        self._stopping.set()
        self._gathering.close()

    def wait(self) -> None:
        """Wait until it has finished, or its time is up. What is left then is lost."""
        self._thread.join(max(0, self._deadline - time.monotonic()))
        left = self._count(self._gathering.rest()) + self._count(self._next) + sum(map(len, self._under_way))
        if self._thread.is_alive() and left:
            self._totals.add(self._name, lost=left)

    def _run(self) -> None:
        sink = None
        while taken := self._gathering.take():
            self._next = taken
            while self._next:
                together, self._next = _together(self._next)
                try:
                    sink = sink or self._make()
                    self._under_way = list(sink.parcels(self._records(together)))
                    while self._under_way:
                        self._deliver(sink, self._under_way[0])
                        self._under_way = self._under_way[1:]
                except Exception as error:  # noqa: BLE001  what is wrong with these records need not be with the next
                    self._under_way = ()
                    self._lose(self._count(together), _kind(error))

    def _records(self, handovers: Iterable[Handover]) -> Iterator[Record]:
        """One by one, and between two of them whoever waits for an answer has a turn."""
        for handover in handovers:
            for record in handover.records(collected=self._collects):
                os.sched_yield()
                yield record

    def _count(self, handovers: Iterable[Handover]) -> int:
        return sum(handover.count(collected=self._collects) for handover in handovers)

    def _deliver(self, sink: Sink[Any], parcel: Parcel) -> None:
        pause = _FIRST_PAUSE
        while count := len(parcel):
            try:
                sink.send(parcel)
                self._totals.add(self._name, told=count)
                return
            except TooLarge as row:
                self._totals.add(self._name, told=count - len(parcel) - 1)
                self._lose(1, str(row))
            except Refused as refused:
                self._totals.add(self._name, told=count - len(parcel))
                self._lose(len(parcel), str(refused))
                return
            except Away as away:
                self._totals.add(self._name, told=count - len(parcel))
                self._say(f"{self._name} does not answer: {away}. What it is to be told waits, as far as there is room.")
                pause = self._wait(pause)

    def _wait(self, seconds: float) -> float:
        """Wait before the next attempt; how long to wait before the one after."""
        if self._stopping.wait(seconds):
            time.sleep(_FIRST_PAUSE)  # until the end there is no time for more
        return min(2 * seconds, _LONGEST_PAUSE)

    def _lose(self, count: int, why: str) -> None:
        self._totals.add(self._name, lost=count)
        self._say(f"{self._name} was not told: {why}.")

    def _say(self, what: str) -> None:
        now = time.monotonic()
        if now - self._said > _SAY_AGAIN_SECONDS:
            self._said = now
            log("WARNING", what)


def _together(handovers: Sequence[Handover]) -> tuple[Sequence[Handover], Sequence[Handover]]:
    """As many of them as are unpacked at once, so that what waits packed is not unpacked whole; and the rest."""
    sizes = accumulate(len(handover.data) for handover in handovers)
    count = 1 + sum(size < _TOGETHER for size in sizes)
    return handovers[:count], handovers[count:]


def _kind(error: Exception) -> str:
    """The kind of an error and where it was raised. Its text may hold what is collected, or a signature."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name}"
