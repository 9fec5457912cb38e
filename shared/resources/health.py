"""Whether the app can serve, for probes: the storage that holds all it knows answers."""

import asyncio
import logging

from shared.domain.accounts import Account
from shared.domain.errors import ServiceError, with_causes
from shared.domain.ports import Clock, Store

_logger = logging.getLogger(__name__)

_BOUND = 3.0
"""Seconds in which storage must answer."""
_FRESH = 5.0
"""Seconds for which an answer holds: whoever asks need not be known, and must not make work by asking."""


class Health:
    """Asks storage, at most once in a few seconds, however often and however much at once it is asked itself."""

    def __init__(self, store: Store, clock: Clock, account: Account, *, bound: float = _BOUND) -> None:
        self._store = store
        self._clock = clock
        self._account = account
        self._bound = bound
        self._asking = asyncio.Lock()
        self._until = float("-inf")
        self._answered = False

    async def ready(self) -> bool:
        """Whether the app can serve; the log says why not."""
        async with self._asking:
            if self._clock.monotonic() >= self._until:
                self._answered = await self._ask()
                self._until = self._clock.monotonic() + _FRESH
        return self._answered

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(self._bound):
                await self._store.held(self._account, "health")
        except TimeoutError:
            _logger.error("not ready: storage did not answer within %g s", self._bound)
            return False
        except ServiceError as error:
            _logger.error("not ready: %s", with_causes(error))
            return False
        return True
