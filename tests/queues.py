"""The queues of a stack, as machines use them: JSON texts in base64."""

import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from azure.core.exceptions import ResourceExistsError
from azure.storage.queue import QueueClient

from tests.conftest import Stack
from tests.waiting import eventually


def opened(stack: Stack, queue: str) -> QueueClient:
    """That queue, which is there."""
    client = QueueClient.from_connection_string(stack.description["blobConnectionString"], queue)
    with contextlib.suppress(ResourceExistsError):
        client.create_queue()
    return client


def send(stack: Stack, queue: str, text: str) -> None:
    """Send a message."""
    with opened(stack, queue) as client:
        client.send_message(base64.b64encode(text.encode()).decode())


class Received:
    """All that has come to a queue since then, in its order: taken out of it as it comes."""

    def __init__(self, stack: Stack, queue: str) -> None:
        self._client = opened(stack, queue)
        self._messages: list[dict[str, Any]] = []

    def until(self, chosen: Callable[[dict[str, Any]], bool], count: int = 1) -> list[dict[str, Any]]:
        """The first `count` messages that are chosen, and any more of them that have come by then."""
        return eventually(lambda: self._found(chosen, count))

    def _found(self, chosen: Callable[[dict[str, Any]], bool], count: int) -> list[dict[str, Any]]:
        while received := list(self._client.receive_messages(max_messages=32)):
            for message in received:
                self._messages.append(json.loads(base64.b64decode(message.content)))
                self._client.delete_message(message)
        found = [message for message in self._messages if chosen(message)]
        return found if len(found) >= count else []


def command(stack: Stack, what: str, data: Any, **attributes: Any) -> dict[str, Any]:
    """A command to the stack's account."""
    path = urlsplit(stack.description["baseUrl"]).path
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/tests",
        "type": what,
        "subject": path,
        "data": data,
        **attributes,
    }
