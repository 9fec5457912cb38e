"""A program that tries what a sandbox must not allow. It is run by its path, with nothing of the app to import.

`hostile.py WORK TARGETS`: TARGETS is JSON. What it got hold of goes to `WORK/got.json`; what it does to others, they see.
"""

import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def _environments() -> bool:
    """The environment of any process but this one."""
    others = [path for path in Path("/proc").glob("[0-9]*/environ") if path.parent.name != str(os.getpid())]
    return any(_readable(path) for path in others)


def _readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def _signal(process: int) -> None:
    if process != os.getpid():
        os.kill(process, signal.SIGTERM)


def _trace(process: int) -> bool:
    """The memory of another process."""
    return process != os.getpid() and _readable(Path(f"/proc/{process}/maps"))


def _connect(family: int, address: Any) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as reaching:
        reaching.settimeout(2)
        reaching.connect(address)


def _write(path: str) -> None:
    Path(path).write_text("written")


def _leave_daemon(work: Path) -> None:
    """A process that holds a lock for ten minutes, in a session of its own, and tells nobody where it is."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (0, 1, 2):
                os.close(number)
            with (work / "alive").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                os.write(writing, b"!")
                signal.pause()
        os._exit(0)
    os.read(reading, 1)


def main(work: Path, targets: dict[str, Any]) -> None:
    """Try all of it."""
    got: dict[str, bool] = {}
    tries: dict[str, Callable[[], Any]] = {
        "environments": _environments,
        "files": lambda: _readable(Path(targets["secret"])),
        "memory": lambda: _trace(targets["victim"]),
        "signals": lambda: _signal(targets["victim"]),
        "caches": lambda: _write(targets["cache"]),
        "network": lambda: _connect(socket.AF_INET, ("127.0.0.1", targets["port"])),
        "abstract": lambda: _connect(socket.AF_UNIX, targets["abstract"]),
        "daemon": lambda: _leave_daemon(work),
    }
    for name, attempt in tries.items():
        got[name] = False
        with suppress(OSError):
            got[name] = attempt() is True
    (work / "got.json").write_text(json.dumps(got))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
