"""Tells a person what is at work: at once, and again and again for as long as it is."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_SILENCE_SECONDS = 4.0


class Progress:
    """Says what begins; what takes longer is named again every 4 s, until something else begins or is done."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._what: str | None = None
        self._began = self._said = time.monotonic()

    def begin(self, what: str) -> None:
        """Say that this is at work now; said already, it is not said again."""
        if what == self._what:
            return
        self._what, self._began = what, time.monotonic()
        self._tell(what)

    def done(self, what: str) -> None:
        """Say what was done; nothing is at work."""
        self._what = None
        self._tell(what)

    def _tell(self, text: str) -> None:
        self._said = time.monotonic()
        self._say(text)

    @asynccontextmanager
    async def aloud(self) -> AsyncIterator[None]:
        """While the context lasts, break each silence."""
        telling = asyncio.create_task(self._break_silences())
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _break_silences(self) -> None:
        while True:
            await asyncio.sleep(max(0.1, self._said + _SILENCE_SECONDS - time.monotonic()))
            now = time.monotonic()
            if self._what is not None and now >= self._said + _SILENCE_SECONDS:
                self._tell(f"{self._what}: {now - self._began:.0f} s …")


SILENT = Progress(lambda _: None)
