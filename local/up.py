"""`make up`: the stack on one machine, in the foreground, until Ctrl-C or SIGTERM."""

import asyncio
import logging
import os
import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from local.errors import StackError
from local.home import Home
from local.ports import port_of
from local.progress import Progress
from local.signals import cancel_once_on_signal

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from local.stack import Running

DEFAULT_PORT = 7071

_READY = """\
Slipway is up at {base_url}
How to call it is in {description}:

  BASE=$({python} -c 'import json;print(json.load(open("{description}"))["baseUrl"])')
  AUTH="Authorization: Bearer $({python} -c 'import json;print(json.load(open("{description}"))["token"])')"
  curl -s -H "$AUTH" "$BASE/models?api-version=2017-09-01-preview"

State and logs are under {home}. Ctrl-C stops everything; `make up` again brings it back.
Killed hard, Azurite may lose the writes of its last seconds; Azure Storage does not (README, Limits).
"""


def main() -> int:
    """0 after a stop that was asked for, 1 when the stack cannot run."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        home = Home.chosen()
        cache = Path(os.environ.get("SLIPWAY_SCRATCH") or home.folder / "cache").absolute()
        asyncio.run(_run(home, cache, port_of(os.environ.get("PORT") or str(DEFAULT_PORT))))
    except (StackError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _run(home: Home, cache: Path, port: int) -> None:
    began = time.monotonic()
    progress = Progress(lambda text: print(text, flush=True))
    with suppress(asyncio.CancelledError):
        cancel_once_on_signal(asyncio.current_task())
        async with progress.aloud():
            progress.begin("loading")
            running_stack = await asyncio.to_thread(_load)
            async with running_stack(home, port, cache, progress) as running:
                progress.done(_ready(home, running))
                print(f"(ready in {time.monotonic() - began:.1f} s)", flush=True)
                await asyncio.Event().wait()
    print("stopped", flush=True)


def _load() -> "Callable[[Home, int, Path, Progress], AbstractAsyncContextManager[Running]]":
    """The stack, whose libraries take seconds to load when that is done for the first time."""
    from local.stack import running_stack  # noqa: PLC0415

    return running_stack


def _ready(home: Home, running: "Running") -> str:
    return _READY.format(
        base_url=running.base_url, description=home.description, home=home.folder, python=shlex.quote(sys.executable)
    )


if __name__ == "__main__":
    sys.exit(main())
