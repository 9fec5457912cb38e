"""How many requests are worked on, and how many may wait for that (client-facts.md, 13)."""

from collections.abc import Callable

from ..metrics import Counts

type Begin = Callable[[], None]


class Full(Exception):
    """Every slot is busy, and every place in the line is taken."""


class Slots:
    """At most `limit` at work and `places` in line, first come, first served. The counts say how many are."""

    def __init__(self, limit: int, places: int, counts: Counts) -> None:
        self._limit = self._free = limit
        self._places = places
        self._line: dict[Begin, None] = {}
        self._giving = False
        self._counts = counts
        counts.slots(limit)
        self._count()

    def take(self, begin: Begin) -> None:
        """Call that with a slot taken: now, or when it is its turn. Raises Full when there is no place to wait."""
        if self._free:
            self._free -= 1
            self._count()
            begin()
            return
        if len(self._line) >= self._places:
            raise Full
        self._line[begin] = None
        self._count()

    def leave(self, begin: Begin) -> None:
        """It waits no longer."""
        self._line.pop(begin, None)
        self._count()

    def give_back(self) -> None:
        """Free a slot for the next in line. One that is done at once gives it back in here: a long line is no deep stack."""
        self._free += 1
        if self._giving:
            return
        self._giving = True
        try:
            while self._free and self._line:
                begin = next(iter(self._line))
                del self._line[begin]
                self._free -= 1
                begin()
        finally:
            self._giving = False
        self._count()

    def _count(self) -> None:
        self._counts.at_work(self._limit - self._free, len(self._line))
