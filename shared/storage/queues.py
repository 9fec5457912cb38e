"""Wake-ups on Azure Queue Storage, as the Functions host reads them: JSON in base64."""

import asyncio
import base64
import json
import math
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.domain.accounts import Account
from shared.domain.errors import InvalidRequest, foreign
from shared.storage.connection import RETRIES, StorageConnection, transport
from shared.storage.failures import opened, translated

if TYPE_CHECKING:
    from azure.storage.queue.aio import QueueClient

WAKE_UPS = "operations"


def wake_up(account: Account, operation_id: str) -> str:
    """The text of a wake-up: who and which, nothing that can go stale."""
    owner = {"subscription": account.subscription, "resourceGroup": account.resource_group, "name": account.name}
    return json.dumps({"account": owner, "operationId": operation_id})


def parse_wake_up(body: bytes) -> tuple[Account, str]:
    """What a wake-up says; raises InvalidRequest for anything else."""
    try:
        message = json.loads(body)
        owner = message["account"]
        account = Account(str(owner["subscription"]), str(owner["resourceGroup"]), str(owner["name"]))
        return account, str(message["operationId"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"The message is no wake-up: {foreign(error)}.") from None


class QueueWakeUps:
    """Wake-ups over one queue. The client is made when it is first needed: its package is slow to import."""

    def __init__(self, connection: StorageConnection, queue: str = WAKE_UPS) -> None:
        self._connection = connection
        self._name = queue
        self._opening = asyncio.Lock()
        self._client: QueueClient | None = None

    async def wake(self, account: Account, operation_id: str, delay: timedelta = timedelta(0)) -> None:
        """Have that operation looked at, no sooner than after `delay`, in whole seconds. Raises Unavailable."""
        text = base64.b64encode(wake_up(account, operation_id).encode()).decode()
        client = await self._ready()
        with translated("wake"):
            await client.send_message(text, visibility_timeout=math.ceil(delay.total_seconds()))

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _ready(self) -> "QueueClient":
        from azure.storage.queue.aio import QueueClient  # noqa: PLC0415  # half a second of a cold start

        async with self._opening:
            if self._client is None:
                client = QueueClient(
                    self._connection.queue,
                    self._name,
                    credential=self._connection.credential(),
                    transport=transport(),
                    **RETRIES,
                )
                self._client = await opened(client, client.create_queue(), "queue")
            return self._client
