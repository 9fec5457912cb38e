"""Processes that share one loaded driver: forked after it is loaded, so that its memory is there once."""

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable

from . import logs

_STOP = (signal.SIGTERM, signal.SIGINT)
_SHORTEST_LIFE = 1.0  # seconds: what ends sooner is not replaced sooner, lest forking is all that is done


def end_with(descriptor: int) -> None:
    """End this process when nobody holds the other end of that pipe any more, whatever else it does."""

    def wait() -> None:
        while os.read(descriptor, 4096):
            pass
        os._exit(0)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def leave_signals_to_forks() -> None:
    """Have signals end a process that the driver forks, as they end any: this one's handlers do nothing there."""
    os.register_at_fork(after_in_child=_end_by_signals)


def _end_by_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Processes:
    """Runs `serve(ordinal)` in so many processes until SIGTERM; one that ends by itself is replaced.

    They are forked from the process that calls this, which does nothing else, and end when it ends, however it does.
    `stopping` is called in it before they are told to stop.
    """

    def __init__(self, count: int, serve: Callable[[int], int], *, stopping: Callable[[], None]) -> None:
        self._count = count
        self._serve = serve
        self._stopping = stopping
        self._running: dict[int, tuple[int, float]] = {}
        self._alive = os.pipe()

    def run(self) -> int:
        """The exit code: in the parent when all have ended, and in each of the processes that of its `serve`."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {*_STOP, signal.SIGCHLD})
        for ordinal in range(self._count):
            if not self._fork(ordinal):
                return self._serve(ordinal)
        while signal.sigwait({*_STOP, signal.SIGCHLD}) == signal.SIGCHLD:
            for ordinal in self._ended():
                if not self._fork(ordinal):
                    return self._serve(ordinal)
        return self._stop()

    def _fork(self, ordinal: int) -> int:
        """0 in the new process, as `os.fork` has it."""
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            child = os.fork()  # threads of the driver's libraries stay behind: it is warned of that for nothing
        if child:
            self._running[child] = ordinal, time.monotonic()
        else:
            os.close(self._alive[1])
            end_with(self._alive[0])
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_STOP, signal.SIGCHLD})
        return child

    def _ended(self) -> list[int]:
        """Which have ended by themselves, each with a line in the log."""
        ended = list[int]()
        while self._running:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                break
            if child in self._running:
                ordinal, began = self._running.pop(child)
                logs.log("ERROR", f"Process {ordinal} {_end(status)}; another takes its place.")
                time.sleep(max(0.0, began + _SHORTEST_LIFE - time.monotonic()))
                ended.append(ordinal)
        return ended

    def _stop(self) -> int:
        self._stopping()
        for child in self._running:
            os.kill(child, signal.SIGTERM)
        for child in self._running:
            os.waitpid(child, 0)
        return 0


def _end(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exited with code {code}" if code >= 0 else f"was ended by signal {signal.Signals(-code).name}"
