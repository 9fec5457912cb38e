"""Azure Queue Storage, as the Functions host reads it: texts in base64; and the wake-ups that travel over it."""

import asyncio
import base64
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.domain.accounts import Account
from shared.domain.errors import InvalidRequest, ServiceError, foreign
from shared.domain.operations import Operation
from shared.domain.plans import builds
from shared.domain.tracing import valid_trace_parent
from shared.storage.connection import RETRIES, StorageConnection, transport
from shared.storage.failures import opened, translated

if TYPE_CHECKING:
    from azure.storage.queue.aio import QueueClient

_logger = logging.getLogger(__name__)

WAKE_UPS = "operations"
BUILDS = "builds"
"""Wake-ups of operations that build: they may take long, and no other operation is to wait behind them."""
OUTBOX = "outbox"
EVENTS = "events"
COMMANDS = "commands"
POISON = "-poison"
_LINGER = 0.1


class QueueSender:
    """Sends to one queue. The client is made when it is first needed: its package is slow to import."""

    def __init__(self, connection: StorageConnection, queue: str) -> None:
        self._connection = connection
        self._name = queue
        self._opening = asyncio.Lock()
        self._client: QueueClient | None = None

    async def send(self, text: str, delay: timedelta = timedelta(0)) -> None:
        """Send a message that shows no sooner than after `delay`, in whole seconds. Raises Unavailable."""
        client = await self._ready()
        with translated(f"send to {self._name}"):
            await client.send_message(
                base64.b64encode(text.encode()).decode(), visibility_timeout=math.ceil(delay.total_seconds())
            )

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


@dataclass(frozen=True)
class WakeUp:
    """Whose operation is to be looked at, which, and the trace it belongs to. Nothing that can go stale."""

    account: Account
    operation_id: str
    trace_parent: str | None = None


def wake_up(account: Account, operation: Operation) -> str:
    """The text of a wake-up."""
    message = {"account": _owner(account), "operationId": operation.id, "traceparent": operation.trace_parent}
    return json.dumps(message)


def parse_wake_up(body: bytes) -> WakeUp:
    """What a wake-up says; raises InvalidRequest for anything else."""
    try:
        message = json.loads(body)
        trace_parent = valid_trace_parent(str(message.get("traceparent")))
        return WakeUp(_account(message["account"]), str(message["operationId"]), trace_parent)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidRequest(f"The message is no wake-up: {foreign(error)}.") from None


def outbox_wake_up(account: Account) -> str:
    """The text that says: that account has events to publish."""
    return json.dumps({"account": _owner(account)})


def parse_outbox_wake_up(body: bytes) -> Account:
    """Whose outbox it is about; raises InvalidRequest for anything else."""
    try:
        return _account(json.loads(body)["account"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidRequest(f"The message names no outbox: {foreign(error)}.") from None


def _owner(account: Account) -> dict[str, str]:
    return {"subscription": account.subscription, "resourceGroup": account.resource_group, "name": account.name}


def _account(owner: Mapping[str, object]) -> Account:
    return Account(str(owner["subscription"]), str(owner["resourceGroup"]), str(owner["name"]))


class QueueWakeUps:
    """Wake-ups over two queues, one of them for builds."""

    def __init__(self, sender: QueueSender, of_builds: QueueSender) -> None:
        self._sender = sender
        self._of_builds = of_builds

    async def wake(self, account: Account, operation: Operation, delay: timedelta = timedelta(0)) -> None:
        """Have that operation looked at, no sooner than after `delay`, in whole seconds. Raises Unavailable."""
        sender = self._of_builds if builds(operation) else self._sender
        await sender.send(wake_up(account, operation), delay)


class OutboxWakeUps:
    """Has outboxes looked at: off the caller's path, and at most once in a while for each, however much goes into it."""

    def __init__(self, sender: QueueSender) -> None:
        self._sender = sender
        self._announcing: dict[str, asyncio.Task[None]] = {}

    def announce(self, account: Account) -> None:
        """Have that account's outbox looked at soon. What fails or is lost here is found by the timer."""
        if account.scope not in self._announcing:
            self._announcing[account.scope] = asyncio.create_task(self._announce(account))

    async def _announce(self, account: Account) -> None:
        await asyncio.sleep(_LINGER)  # what comes meanwhile needs no wake-up of its own
        del self._announcing[account.scope]
        try:
            await self._sender.send(outbox_wake_up(account))
        except ServiceError as error:
            _logger.warning("outbox of %s: not woken, the timer will: %s", account.name, error.message)
