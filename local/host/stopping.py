"""A request to stop, which everything that waits looks at."""

import asyncio


class Stopping:
    """Whether the host, or a part of it, was asked to stop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def asked(self) -> bool:
        return self._event.is_set()

    def ask(self) -> None:
        """Stop. Asking again changes nothing."""
        self._event.set()

    async def wait(self) -> None:
        """Until asked."""
        await self._event.wait()

    async def within(self, seconds: float) -> bool:
        """Wait that long, or until asked; true when asked."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True
