"""`python -m local.host --app FOLDER`: host the function app of that folder."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from uvicorn.loops.auto import auto_loop_factory

from local import logs
from local.host.refusal import Refused
from local.host.serving import Options, serve


def main() -> int:
    """0 after a stop that was asked for, 1 when the app cannot be hosted."""
    logs.configure()
    try:
        asyncio.run(serve(_options()), loop_factory=auto_loop_factory())
    except Refused as refused:
        logging.getLogger("local.host").error("%s", refused)
        return 1
    return 0


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m local.host", description="Host a function app on this machine.")
    parser.add_argument("--app", type=Path, required=True, help="the folder of function_app.py and host.json")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=7071, help="0 for a free one, which the log then names")
    parser.add_argument("--state", type=Path, help="the folder in which timers keep when they last ran")
    parser.add_argument("--drain", type=float, default=8, help="seconds that what runs is given when the host stops")
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when standard input ends")
    given = parser.parse_args()
    return Options(given.app.resolve(), given.host, given.port, given.state, given.drain, given.exit_with_parent)


if __name__ == "__main__":
    sys.exit(main())
