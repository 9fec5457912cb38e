"""`make demo`: the main job on a stack of its own, told step by step, until it is done or asked to stop."""

import asyncio
import logging
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from local.azurite.server import free_ports
from local.errors import DemoFailed, StackError
from local.home import Home
from local.ports import port_of
from local.progress import Progress
from local.signals import cancel_once_on_signal

_DEFAULT_CACHE = Path(__file__).parents[2] / ".slipway" / "cache"
_STOPPED = 130  # what a shell says of a program that Ctrl-C ended
_NEXT = """
Next: `make up` keeps such a stack running on http://127.0.0.1:7071, and the README's tutorial deploys a model of yours."""


class Narrator:
    """Prints what it is told, with the time since the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        """Print it now."""
        print(f"{time.monotonic() - self._began:7.2f} s  {text}", flush=True)


@contextmanager
def _home() -> Iterator[Home]:
    """The home that SLIPWAY_HOME names, which is kept; else one that is removed."""
    if os.environ.get("SLIPWAY_HOME"):
        home = Home.chosen()
        print(f"The state is kept in {home.folder}.", flush=True)
        yield home
        return
    with tempfile.TemporaryDirectory(prefix="slipway-demo-") as folder:
        yield Home(Path(folder))


def _cache() -> Path:
    named = os.environ.get("SLIPWAY_SCRATCH")
    home = os.environ.get("SLIPWAY_HOME")
    return Path(named or (Path(home) / "cache" if home else _DEFAULT_CACHE)).absolute()


async def _run() -> None:
    cancel_once_on_signal(asyncio.current_task())
    port = port_of(os.environ.get("PORT") or str(free_ports(1)[0]))
    progress = Progress(Narrator())
    async with progress.aloud():
        progress.begin("loading")
        job = await asyncio.to_thread(_load)
        with _home() as home:
            await job(home, port, _cache(), progress)
            progress.begin("cleaning up")
    print(_NEXT)


def _load() -> Callable[[Home, int, Path, Progress], Awaitable[None]]:
    """The job, whose libraries take seconds to load when that is done for the first time."""
    from local.demo.main_job import on_a_stack  # noqa: PLC0415

    return on_a_stack


def main() -> int:
    """0 when every step was as it should be, 1 when one was not, 130 when it was asked to stop."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        asyncio.run(_run())
    except (DemoFailed, StackError, OSError) as failed:
        print(f"the demo failed: {failed}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        print("stopped; nothing runs on", flush=True)
        return _STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
