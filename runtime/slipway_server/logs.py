"""The log: JSON lines on standard output, in the form that clients filter by request (client-facts.md, 30)."""

import contextlib
import io
import logging
import os
import sys
import threading
from contextvars import ContextVar
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as _quoted
from typing import TextIO

from .messages import CURRENT

NO_REQUEST = "00000000-0000-0000-0000-000000000000"

_STDOUT = 1
_writing = threading.Lock()


def log(level: str, message: str) -> None:
    """Write one line, under the request that is being worked on, or under the request id of zeros."""
    request = CURRENT.get()
    told = _object(requestId=request.id if request else NO_REQUEST, apiName=request.path if request else "", message=message)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    _write(_object(timestamp=now, level=level, logger="root", message=told).encode() + b"\n")


def _object(**texts: str) -> str:
    # A fourth of the time that `json.dumps` takes, for every request.
    return "{" + ", ".join([f'"{name}": {_quoted(text)}' for name, text in texts.items()]) + "}"


def _write(line: bytes) -> None:
    # Nobody reading the log is no reason to stop answering.
    with _writing, contextlib.suppress(OSError):
        while line:
            line = line[os.write(_STDOUT, line) :]


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
        """Log the lines that are whole now, and keep the rest."""
        *lines, rest = (self._unfinished.get() + text).split("\n")
        for line in filter(None, lines):
            log(self._level, line)
        self._unfinished.set(rest)
        return len(text)

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
