"""The log: JSON lines on standard output, in the form that clients filter by request (client-facts.md, 30)."""

import asyncio
import contextlib
import io
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, TextIO

from .http.messages import CURRENT, Request

NO_REQUEST = "00000000-0000-0000-0000-000000000000"

_STDOUT = 1
_LONGEST = 65_536
"""So many characters without a line's end are a line."""
_writing = threading.Lock()
_soon: list[bytes] = []
_listeners: list[Callable[[str, str], None]] = []


def log(level: str, message: str, request: Request | None = None) -> None:
    """Write one line, under that request, or the one that is being worked on, or the request id of zeros."""
    _write(_line(level, message, request or CURRENT.get()))
    for listener in _listeners:
        listener(level, message)


def tell(listener: Callable[[str, str], None]) -> None:
    """From here on call that with the level and the message of each line, but those that only say what was answered."""
    _listeners.append(listener)


def log_soon(level: str, message: str, request: Request) -> None:
    """Write one line at the end of this turn of the event loop, with those of other requests. To be called on it only."""
    if not _soon:
        asyncio.get_running_loop().call_soon(write_now)
    _soon.append(_line(level, message, request))


def write_now() -> None:
    """Write what was to be written soon."""
    lines = b"".join(_soon)
    _soon.clear()
    _write(lines)


def _line(level: str, message: str, request: Request | None) -> bytes:
    # By hand it takes a fourth of the time that `json.dumps` takes, for every request.
    identifier, name = (request.id, request.path) if request else (NO_REQUEST, "")
    told = f'{{"requestId": {_quoted(identifier)}, "apiName": {_quoted(name)}, "message": {_quoted(message)}}}'
    now = time.time()
    when = f"{_second(int(now))}.{int(now % 1 * 1000):03}+00:00"
    return f'{{"timestamp": "{when}", "level": {_quoted(level)}, "logger": "root", "message": {_quoted(told)}}}\n'.encode()


@lru_cache(maxsize=1)
def _second(now: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))


def _write(lines: bytes) -> None:
    # Nobody reading the log is no reason to stop answering.
    with _writing, contextlib.suppress(OSError):
        while lines:
            lines = lines[os.write(_STDOUT, lines) :]


def _begin_anew() -> None:
    """In a process that was forked: whoever was writing then is not there, and would never be done."""
    global _writing  # noqa: PLW0603
    _writing = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)


class LogHandler(logging.Handler):
    """Sends what the driver logs to the log."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line a record; a traceback stays within its line."""
        log(record.levelname, self.format(record))


class LogStream(io.TextIOBase):
    """Stands in for standard output or error: each line the driver prints becomes a line of the log.

    A line is put together by the request that prints it, so two that print at once do not mix.
    """

    encoding = "utf-8"

    def __init__(self, original: TextIO, level: str) -> None:
        self._original = original
        self._level = level
        self._unfinished: ContextVar[str] = ContextVar("a line without its end", default="")

    @property
    def buffer(self) -> io.BufferedIOBase:
        """What takes bytes: they are not seen by the log."""
        return self._original.buffer  # type: ignore[return-value]  # typeshed knows it as BinaryIO

    def fileno(self) -> int:
        """For what needs a descriptor, such as a child process: its output is not seen by the log."""
        return self._original.fileno()

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str, /) -> int:
        """Log the lines that are whole now, and keep the rest, unless it is long already."""
        *lines, rest = (self._unfinished.get() + text).split("\n")
        for line in filter(None, lines):
            log(self._level, line)
        if len(rest) >= _LONGEST:
            log(self._level, rest)
            rest = ""
        self._unfinished.set(rest)
        return len(text)

    def reconfigure(self, **_: Any) -> None:
        """As of a text file: a driver may ask for an encoding, or for whole lines, which is what the log has anyway."""

    def flush(self) -> None:
        """Log the line that has no end yet."""
        if line := self._unfinished.get():
            log(self._level, line)
            self._unfinished.set("")


_streams: list[LogStream] = []  # a driver may put its own in their place


def capture() -> None:
    """From here on all that is printed or logged goes to the log."""
    _streams.extend((LogStream(sys.stdout, "INFO"), LogStream(sys.stderr, "WARNING")))
    sys.stdout, sys.stderr = _streams
    logging.basicConfig(handlers=[LogHandler()], level=logging.INFO, format="%(message)s")


def flush() -> None:
    """Log what this request printed without ending the line."""
    for stream in _streams:
        stream.flush()
