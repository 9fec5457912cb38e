"""What drivers collect data with: it adds to one container, and neither lists, reads, overwrites nor deletes."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from shared.domain.errors import ServiceError
from shared.domain.ports import Clock
from shared.storage.blobs import BlobAccount
from shared.storage.connection import StorageConnection

CONTAINER = "modeldata"
"""Where collected data lands (client-facts.md, 31)."""
_LIFE = timedelta(days=7)
"""From the midnight before: a user-delegation key signs for no longer."""
_LOOK_EVERY = 60.0

_logger = logging.getLogger(__name__)


class CollectedData:
    """Signs for the container, a new signature each day, the same all day long. The container is there from then on.

    `setting` is a connection string with the account's key, one that is a signature already and is handed on as it is, the
    account's name where the managed identity signs, or empty.
    """

    def __init__(self, setting: str, clock: Clock) -> None:
        """Raises StorageSettingError."""
        self._given = setting if "SharedAccessSignature=" in setting else ""
        self._account = BlobAccount(StorageConnection.for_collection(setting)) if setting and not self._given else None
        self._clock = clock
        self._signing = asyncio.Lock()
        self._signed: tuple[datetime, str] | None = None
        self._next_look = clock.monotonic()

    async def current(self) -> str:
        """A connection string that is good for six days at least; empty where no setting says where to collect.

        Raises Unavailable where the managed identity cannot sign now.
        """
        if self._account is None:
            return self._given
        day = self._clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        async with self._signing:
            await self._ensure_container(self._account)
            if self._signed is None or self._signed[0] != day:
                self._signed = day, await self._account.adding_to(CONTAINER, day, day + _LIFE)
            return self._signed[1]

    async def close(self) -> None:
        """Close its connections."""
        if self._account is not None:
            await self._account.close()

    async def _ensure_container(self, account: BlobAccount) -> None:
        """Storage that is away keeps no service from its deployment: what is collected waits in its replicas."""
        if self._clock.monotonic() < self._next_look:
            return
        self._next_look = self._clock.monotonic() + _LOOK_EVERY
        try:
            await account.container(CONTAINER)
        except ServiceError as error:
            _logger.warning("The container %s of collected data was not made: %s", CONTAINER, error.message)
