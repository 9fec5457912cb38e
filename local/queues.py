"""`python -m local.queues`: drive a running stack by queue, and hear what it tells.

`send TYPE < DATA` sends a command to its account; `receive QUEUE` takes what is in a queue out of it, and prints it.
"""

import argparse
import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from uuid import uuid4

from azure.core.exceptions import AzureError
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from local.errors import StackError, told
from local.home import Home
from local.proxies import call_loopback_directly
from shared.storage.queues import COMMANDS


async def send(described: Mapping[str, str], kind: str, data: object) -> None:
    """Send a command, as a CloudEvent; prints its id."""
    command = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/local",
        "type": kind,
        "subject": urlsplit(described["baseUrl"]).path,
        "data": data,
    }
    async with _queue(described, COMMANDS) as queue:
        await queue.send_message(base64.b64encode(json.dumps(command).encode()).decode())
    print(command["id"])


async def receive(described: Mapping[str, str], name: str) -> None:
    """Take everything out of a queue, one message a line."""
    async with _queue(described, name) as queue:
        while messages := [message async for message in queue.receive_messages(max_messages=32)]:
            for message in messages:
                print(base64.b64decode(message.content).decode())
                await queue.delete_message(message)


@asynccontextmanager
async def _queue(described: Mapping[str, str], name: str) -> AsyncIterator[QueueClient]:
    """That queue; raises StackError, which names those that are there, when it is not."""
    async with QueueServiceClient.from_connection_string(described["blobConnectionString"]) as service:
        names = [str(queue.name) async for queue in service.list_queues()]
        if name not in names:
            raise StackError(f"there is no queue '{name}'; there are: {', '.join(names)}")
        async with service.get_queue_client(name) as queue:
            yield queue


async def _act(given: argparse.Namespace) -> None:
    described = Home.chosen().running()
    if given.act == "receive":
        await receive(described, given.queue)
        return
    try:
        data = json.load(sys.stdin)
    except (ValueError, RecursionError) as error:
        raise StackError(f"the data is no JSON: {error}") from None
    await send(described, given.type, data)


def main() -> int:
    """0 when it was done, 1 when no stack is running, there is no such queue, or the data is no JSON."""
    parser = argparse.ArgumentParser(prog="python -m local.queues", description="The queues of the stack of `make up`.")
    acts = parser.add_subparsers(dest="act", required=True)
    acts.add_parser("send", help="send a command").add_argument("type", help="such as slipway.model.register")
    acts.add_parser("receive", help="take messages").add_argument("queue", help="such as events, or commands-poison")
    given = parser.parse_args()
    call_loopback_directly()
    try:
        asyncio.run(_act(given))
    except (StackError, AzureError) as error:
        print(told(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
