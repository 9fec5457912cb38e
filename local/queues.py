"""`python -m local.queues`: drive a running stack by queue, and hear what it tells.

`send TYPE < DATA` sends a command to its account; `receive QUEUE` takes what is in a queue out of it, and prints it.
"""

import argparse
import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from azure.storage.queue.aio import QueueClient

from local.home import Home
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
    async with QueueClient.from_connection_string(described["blobConnectionString"], name) as queue:
        yield queue


def main() -> int:
    """0 when it was done, 1 when no stack is running or the data is no JSON."""
    parser = argparse.ArgumentParser(prog="python -m local.queues", description="The queues of the stack of `make up`.")
    acts = parser.add_subparsers(dest="act", required=True)
    acts.add_parser("send", help="send a command").add_argument("type", help="such as slipway.model.register")
    acts.add_parser("receive", help="take messages").add_argument("queue", help="such as events, or commands-poison")
    given = parser.parse_args()
    home = Home(Path(os.environ.get("SLIPWAY_HOME") or Path(__file__).parent.parent / ".slipway"))
    try:
        described = json.loads(home.description.read_text())
        act = send(described, given.type, json.load(sys.stdin)) if given.act == "send" else receive(described, given.queue)
        asyncio.run(act)
    except FileNotFoundError:
        print("nothing is running here: `make up` first", file=sys.stderr)
        return 1
    except json.JSONDecodeError as error:
        print(f"the data is no JSON: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
