"""A sandbox is believed when a hostile program could do nothing in it, on this host and as this user."""

import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import NamedTuple

from shared.images.packages import hostile
from shared.images.packages.answers import BadAnswer, read_answer
from shared.images.packages.bounded import Bounds, Ran, run
from shared.images.packages.sandbox import BUILD_PYTHON, Sandbox, build_environment, make_work

_SECONDS = 20.0
_WAITS = "import sys\nprint(flush=True)\nsys.stdin.read()"
_MEANING = {
    "environments": "environments of other processes can be read",
    "files": "files of the app can be read",
    "memory": "other processes can be looked into",
    "signals": "other processes can be signalled",
    "caches": "caches of the app can be written",
    "network": "ports of this machine can be reached",
    "abstract": "sockets of this machine can be reached",
    "daemon": "processes are left behind",
}


class ProvenSandbox:
    """A sandbox that is tried before anything else runs in it, and again until it held once."""

    def __init__(self, inner: Sandbox) -> None:
        self._inner = inner
        self._lock = Lock()
        self._holds = False

    def command(self, program: Sequence[str], *, work: Path, readable: Sequence[Path]) -> list[str]:
        """That of the sandbox."""
        return self._inner.command(program, work=work, readable=readable)

    def lacking(self) -> Sequence[str]:
        """What the hostile program could do; or that it could not be run, and why."""
        with self._lock:
            found = [] if self._holds else lacking(self._inner)
            self._holds = not found
            return found


class _Targets(NamedTuple):
    """What the hostile program is told to reach, and what sees that it did."""

    secret: Path
    cache: Path
    victim: subprocess.Popen[str]
    listeners: Mapping[str, socket.socket]

    def told(self) -> str:
        """As JSON."""
        named = {"secret": str(self.secret), "cache": str(self.cache), "victim": self.victim.pid}
        port, abstract = self.listeners["network"].getsockname()[1], self.listeners["abstract"].getsockname()
        return json.dumps(named | {"port": port, "abstract": abstract.decode()})

    def reached(self) -> Iterator[str]:
        """What was done to them."""
        if self.cache.exists():
            yield "caches"
        if self.victim.poll() is not None:
            yield "signals"
        for name, listener in self.listeners.items():
            if _was_called(listener):
                yield name


def lacking(sandbox: Sandbox, system: str = sys.platform) -> list[str]:
    """What a hostile program can do in that sandbox, in words; empty when it was tried in vain."""
    if system != "linux":
        return ["the namespaces of Linux"]
    with TemporaryDirectory(prefix="slipway-", ignore_cleanup_errors=True) as folder:
        workspace = Path(folder).resolve()
        work = workspace / "work"
        make_work(work)
        with _targets(workspace) as targets:
            ran = _tried(sandbox, work, targets)
            try:
                got = read_answer(work / "got.json")
            except BadAnswer:
                said = " ".join(ran.said.split())[-300:] or f"exit code {ran.code}"
                return [f"the sandbox does not start ({said})"]
            able = {name for name, true in got.items() if true} | set(targets.reached())
            if _is_locked(work / "alive"):
                able.add("daemon")
        return [meaning for name, meaning in _MEANING.items() if name in able or name not in got]


def _tried(sandbox: Sandbox, work: Path, targets: _Targets) -> Ran:
    program = [str(BUILD_PYTHON), "-I", "-S", hostile.__file__, str(work), targets.told()]
    command = sandbox.command(program, work=work, readable=[Path(hostile.__file__)])
    return run(command, "", work.parent, _SECONDS, Bounds(grace_seconds=1), environment=build_environment(work))


@contextmanager
def _targets(workspace: Path) -> Iterator[_Targets]:
    secret = workspace / "secret"
    secret.write_text("secret")
    with ExitStack() as opened:
        network = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = opened.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0slipway-{os.urandom(8).hex()}")
        abstract.listen()
        listeners = {"network": network, "abstract": abstract}
        yield _Targets(secret, workspace / "cache", opened.enter_context(_victim()), listeners)


@contextmanager
def _victim() -> Iterator[subprocess.Popen[str]]:
    """A process that does nothing, until its standard input ends. It is told nothing."""
    command = [sys.executable, "-I", "-S", "-c", _WAITS]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env={}) as process:  # noqa: S603  # ours
        if process.stdout:
            process.stdout.readline()
        yield process
        process.kill()


def _was_called(listener: socket.socket) -> bool:
    listener.settimeout(0)
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        return False
    connection.close()
    return True


def _is_locked(path: Path) -> bool:
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
