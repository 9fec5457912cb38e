"""`make up`: the stack on one machine, in the foreground, until Ctrl-C or SIGTERM."""

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from local.home import Home, StackError
from local.stack import REPOSITORY, Running, running_stack

DEFAULT_PORT = 7071

_READY = """\
Slipway is up at {base_url}
How to call it is in {description}:

  BASE=$(python3 -c 'import json;print(json.load(open("{description}"))["baseUrl"])')
  AUTH="Authorization: Bearer $(python3 -c 'import json;print(json.load(open("{description}"))["token"])')"
  curl -s -H "$AUTH" "$BASE/models?api-version=2017-09-01-preview"

State and logs are under {home}. Ctrl-C stops everything; `make up` again brings it back.
"""


def main() -> int:
    """0 after a stop that was asked for, 1 when the stack cannot run."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        home = Home(Path(os.environ.get("SLIPWAY_HOME") or REPOSITORY / ".slipway"))
        cache = Path(os.environ.get("SLIPWAY_SCRATCH") or home.folder / "cache").absolute()
        asyncio.run(_run(home, cache, _port(os.environ.get("PORT") or str(DEFAULT_PORT))))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _run(home: Home, cache: Path, port: int) -> None:
    began = time.monotonic()
    with suppress(asyncio.CancelledError):
        _cancel_once_on_signal(asyncio.current_task())
        async with running_stack(home, port, cache) as running:
            _announce(home, running)
            print(f"(ready in {time.monotonic() - began:.1f} s)", flush=True)
            await asyncio.Event().wait()
    print("stopped", flush=True)


def _cancel_once_on_signal(task: asyncio.Task[None] | None) -> None:
    """A second signal must not interrupt the stop that the first has begun."""
    loop, numbers = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)

    def stop() -> None:
        for number in numbers:
            loop.add_signal_handler(number, lambda: None)
        if task is not None:
            task.cancel()

    for number in numbers:
        loop.add_signal_handler(number, stop)


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise StackError(f"PORT: got '{text}'; accepts a number from 1 to 65535.")
    return int(text)


def _announce(home: Home, running: Running) -> None:
    print(_READY.format(base_url=running.base_url, description=home.description, home=home.folder), flush=True)


if __name__ == "__main__":
    sys.exit(main())
