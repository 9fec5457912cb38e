"""What becomes of a command that failed: put off when that can help, refused for good when it cannot."""

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

from shared.domain.errors import ServiceError
from shared.domain.operations import ErrorResponse
from shared.events.format import refusal_text, tries_of, with_tries

_logger = logging.getLogger(__name__)

_SOURCE = "/slipway/commands"
_MOST_TRIES = 20
_FIRST_DELAY = timedelta(seconds=2)
_LONGEST_DELAY = timedelta(minutes=5)


class CommandFailures:
    """Settles failed commands. `again` sends a text to the commands' queue after a delay, `refuse` to its poison queue."""

    def __init__(self, again: Callable[[str, timedelta], Awaitable[None]], refuse: Callable[[str], Awaitable[None]]) -> None:
        self._again = again
        self._refuse = refuse

    async def settle(self, text: str, error: ServiceError) -> None:
        """Put it off or refuse it; raises Unavailable when the queue is away, and then the host delivers it again."""
        if error.retryable and (tries := tries_of(text)) < _MOST_TRIES:
            delay = min(_FIRST_DELAY * (1 << tries), _LONGEST_DELAY)
            await self._again(with_tries(text, tries + 1), max(delay, timedelta(seconds=error.retry_after or 0)))
            return
        _logger.warning("a command is refused: %s %s", error.code, error.message)
        await self._refuse(refusal_text(str(uuid4()), _SOURCE, text, ErrorResponse.of(error)))
