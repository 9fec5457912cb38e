"""How many requests are worked on, and how many may wait for that (client-facts.md, 13)."""

import asyncio


class Full(Exception):
    """Every slot is busy, and every place in the line is taken."""


class Slots:
    """At most `limit` at work and `waiting` in line, first come, first served."""

    def __init__(self, limit: int, waiting: int) -> None:
        self._free = asyncio.Semaphore(limit)
        self._places = waiting

    async def take(self) -> None:
        """Return with a slot taken, after a wait if need be. Raises Full, at once, when there is no place to wait.

        Who is cancelled while waiting leaves the line.
        """
        if not self._free.locked():
            await self._free.acquire()
            return
        if self._places == 0:
            raise Full
        self._places -= 1
        try:
            await self._free.acquire()
        finally:
            self._places += 1

    def give_back(self) -> None:
        """Free a slot for the next in line."""
        self._free.release()
