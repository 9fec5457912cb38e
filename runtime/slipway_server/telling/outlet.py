"""The server's end of the pipe to the telling process: whoever puts something in never waits."""

import contextlib
import fcntl
import os
import socket
import threading
from multiprocessing.connection import Connection, Pipe

from ..logs import log
from .gathering import Gathering
from .records import Handed, packed

BOUND = 8 * 1024 * 1024
"""So many bytes may wait to be handed over; what comes on top is dropped, and counted."""
_PIPE = 1024 * 1024  # bytes: fewer turns between the two processes, where they share a core
_GATHER = 0.05  # what comes within this time goes through the pipe together


class Outlet:
    """Where every thread of a process puts what is to be told.

    Each process has a pipe and a thread of its own, from the first thing it puts in: so it may be forked before.
    """

    def __init__(self, control: socket.socket) -> None:
        """`control` is where the other end takes the pipes from."""
        self._control = control
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._gathering: Gathering[Handed] = Gathering(BOUND, _GATHER, BOUND)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self._known = 0

    @property
    def dropped(self) -> int:
        """How many of this process's records were dropped and the other end does not know of yet."""
        return self._dropped - self._known if self._process == os.getpid() else 0

    def put(self, record: Handed, weight: int) -> None:
        """Tell that, of about so many bytes, or drop it: when the other end is gone, or slower than what comes."""
        if self._process != os.getpid():
            self._begin()
        if not self._gathering.put(record, weight):
            self._drop(1)
        elif self._thread is None:
            self._start()

    def close(self, seconds: float) -> None:
        """Hand over what is there, within that time. What comes later is dropped."""
        if self._process == os.getpid():
            self._gathering.close()
            if self._thread:
                self._thread.join(seconds)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="telling", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        """Hand over, until the end or until the other end is gone. To wait for it does no harm here."""
        count = 0
        try:
            with self._connected() as pipe:
                while records := self._gathering.take():
                    count, new = len(records), self._dropped - self._known
                    pipe.send_bytes(packed(records, new))
                    self._known += new
                pipe.send_bytes(b"")
        except OSError:
            self._gathering.close()
            self._drop(count + len(self._gathering.rest()))
            log("ERROR", "The process that collects data and reports to Azure is gone. It does so no more.")

    def _connected(self) -> Connection:
        theirs, ours = Pipe(duplex=False)
        with contextlib.suppress(OSError, AttributeError):  # a user may have as much, on Linux
            fcntl.fcntl(ours.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
        with theirs:
            socket.send_fds(self._control, [b"+"], [theirs.fileno()])
        return ours

    def _drop(self, count: int) -> None:
        with self._starting:
            self._dropped += count
