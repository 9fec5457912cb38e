"""The telling process: all that talks to Azure, apart from the server, its memory and the driver's packages."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..logs import log
from .totals import SIZE, Totals

FINISH_SECONDS = 3.0
"""For how long it goes on to tell what it has when the server ends."""
_PATIENCE = FINISH_SECONDS + 0.5


class TellingProcess:
    """A process that was started by this one, and ends with it."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        """Start it for the app in that folder. It reads its settings from the environment, as the server does."""
        self.control, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as memory:
            memory.truncate(SIZE)
            self.totals = Totals(memory.fileno())
            inherited = (theirs.fileno(), memory.fileno())
            # Isolated: neither the driver's folder nor PYTHONPATH is where it imports from.
            command = [sys.executable, "-I", str(Path(__file__).parent), *map(str, inherited), str(folder)]
            # Whom a signal to stop is meant for closes the pipes when it is done: here it stays blocked, from the start.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
            self._process = subprocess.Popen(  # noqa: S603
                command, env=dict(environment), stdin=subprocess.DEVNULL, pass_fds=inherited
            )
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._parent = os.getpid()

    def end(self) -> None:
        """Let it finish, if this is the process that started it: none of the others waits."""
        if os.getpid() != self._parent:
            return
        with contextlib.suppress(OSError):  # it is gone
            self.control.send(b".")
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            log("ERROR", "The process that collects data and reports to Azure did not end in time, and was stopped.")
            self._process.kill()
            self._process.wait()
        self.control.close()
