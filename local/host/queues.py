"""Queue triggers: one listener a function, on Azure Storage queues.

Mirrors the storage extension of the real host: messages are taken in batches, hidden for ten minutes while they are
worked on, deleted on success, shown again on failure, and moved to `<queue>-poison` once they failed too often.
"""

import asyncio
import base64
import json
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from local.host.config import QueueOptions
from local.host.refusal import Refused
from local.host.stopping import Stopping
from local.host.triggers import QueueTrigger
from local.host.worker import Datum, Worker
from shared.domain.errors import foreign

_log = logging.getLogger(__name__)

HIDDEN_FOR = timedelta(minutes=10)
_SHORTEST_PAUSE = 0.1
_POISON = "-poison"


class Pause:
    """Seconds between two polls: 100 ms after messages, then about twice as long each time nothing came."""

    def __init__(self, longest: timedelta) -> None:
        self._longest = longest.total_seconds()
        self._current = 0.0

    def after(self, *, found: bool) -> float:
        """The next pause; a fifth more or less, so that listeners do not poll in step."""
        self._current = _SHORTEST_PAUSE if found else min(self._longest, max(_SHORTEST_PAUSE, self._current * 2))
        return min(self._longest, self._current * random.uniform(0.8, 1.2))  # noqa: S311 - nothing secret


@dataclass
class _Held:
    """A message that is ours until its receipt, which each renewal changes, runs out.

    `text` is None when the message is not base64 and should be.
    """

    message: QueueMessage
    text: str | None
    tries: int
    receipt: str


class QueueListener:
    """Feeds one function from its queue. Storage that is away is logged and tried again; it stops nothing."""

    def __init__(
        self, trigger: QueueTrigger, worker: Worker, options: QueueOptions, *, hidden_for: timedelta = HIDDEN_FOR
    ) -> None:
        self._trigger = trigger
        self._worker = worker
        self._options = options
        self._hidden_for = int(hidden_for.total_seconds())
        self._queue = _client(trigger, trigger.queue)
        # As in the real host, a poison queue has none of its own: what fails there stays hidden till its time is up.
        self._poison = None if trigger.queue.endswith(_POISON) else _client(trigger, trigger.queue + _POISON)

    async def run(self, stopping: Stopping) -> None:
        """Poll until asked to stop, then wait for the messages that are being worked on."""
        pause = Pause(self._options.max_polling)
        running: set[asyncio.Task[None]] = set()
        async with self._queue, self._poison or nullcontext(), asyncio.TaskGroup() as group:
            while not stopping.asked:
                messages = await self._receive()
                running |= {group.create_task(self._work_on(message)) for message in messages}
                await stopping.within(pause.after(found=bool(messages)))
                running = await _at_most(self._options.new_batch_threshold, running)

    async def _receive(self) -> list[QueueMessage]:
        pages = self._queue.receive_messages(
            messages_per_page=self._options.batch_size, visibility_timeout=self._hidden_for
        ).by_page()
        try:
            async for page in pages:
                return [message async for message in page]
        except ResourceNotFoundError:
            _log.debug("queue %s does not exist yet", self._trigger.queue)
        except AzureError as error:
            _log.warning("queue %s cannot be read: %s", self._trigger.queue, foreign(error))
        return []

    async def _work_on(self, message: QueueMessage) -> None:
        held = _Held(message, self._text(message), message.dequeue_count or 0, message.pop_receipt or "")
        try:
            await self._settle(held, ok=await self._run_function(held))
        except AzureError as error:
            # Nothing is lost: the message shows again when its time is up.
            _log.warning("queue %s, message %s: %s", self._trigger.queue, message.id, foreign(error))

    def _text(self, message: QueueMessage) -> str | None:
        if not self._options.base64:
            return str(message.content)
        try:
            return base64.b64decode(message.content, validate=True).decode(errors="replace")
        except ValueError:
            return None

    async def _run_function(self, held: _Held) -> bool:
        """False when the function failed, or was not run: the text cannot be read, or had all its tries."""
        if held.text is None or held.tries > self._options.max_dequeue_count:
            return False
        async with self._kept_hidden(held):
            metadata = _metadata(held.message, held.text)
            outcome = await self._worker.invoke(self._trigger.target, Datum(held.text, "string"), metadata)
        return outcome.ok

    async def _settle(self, held: _Held, *, ok: bool) -> None:
        if ok:
            await self._delete(held)
        elif self._poison is None:
            _log.error("queue %s: message %s failed, and stays hidden for now", self._trigger.queue, held.message.id)
        elif held.text is None or held.tries >= self._options.max_dequeue_count:
            await _send(self._poison, held.message.content)
            await self._delete(held)
            _log.error("queue %s: message %s moved to the poison queue", self._trigger.queue, held.message.id)
        else:
            await self._hide(held, int(self._options.retry_delay.total_seconds()))

    @asynccontextmanager
    async def _kept_hidden(self, held: _Held) -> AsyncIterator[None]:
        worked_on = Stopping()
        renewal = asyncio.create_task(self._renew(held, worked_on))
        try:
            yield
        finally:
            worked_on.ask()  # rather than cancel: a renewal under way brings the receipt that settling needs
            await renewal

    async def _renew(self, held: _Held, worked_on: Stopping) -> None:
        while not await worked_on.within(self._hidden_for / 2):
            try:
                await self._hide(held, self._hidden_for)
            except AzureError as error:
                _log.warning("queue %s, message %s not renewed: %s", self._trigger.queue, held.message.id, foreign(error))

    async def _hide(self, held: _Held, seconds: int) -> None:
        updated = await self._queue.update_message(held.message.id, held.receipt, visibility_timeout=seconds)
        held.receipt = updated.pop_receipt or held.receipt

    async def _delete(self, held: _Held) -> None:
        await self._queue.delete_message(held.message.id, held.receipt)


def _client(trigger: QueueTrigger, queue: str) -> QueueClient:
    try:
        return QueueClient.from_connection_string(
            trigger.connection, queue, connection_timeout=5, retry_total=1, initial_backoff=1, increment_base=0
        )
    except ValueError:
        raise Refused(f"{trigger.target.name}: its connection is not a storage connection string") from None


async def _send(queue: QueueClient, content: str) -> None:
    """Send, to a queue that is made when it is missing."""
    try:
        await queue.send_message(content)
    except ResourceNotFoundError:
        await queue.create_queue()
        await queue.send_message(content)


async def _at_most(count: int, running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Wait until no more than `count` run; those that do."""
    running = {task for task in running if not task.done()}
    while len(running) > count:
        _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    return running


def _metadata(message: QueueMessage, text: str) -> dict[str, Datum]:
    return {
        "Id": Datum(message.id, "string"),
        "PopReceipt": Datum(message.pop_receipt, "string"),
        "QueueTrigger": Datum(text, "string"),
        "DequeueCount": Datum(json.dumps(message.dequeue_count), "json"),
        "InsertionTime": _moment(message.inserted_on),
        "ExpirationTime": _moment(message.expires_on),
        "NextVisibleTime": _moment(message.next_visible_on),
    }


def _moment(moment: datetime | None) -> Datum:
    return Datum(json.dumps(moment.isoformat() if moment else None), "json")
