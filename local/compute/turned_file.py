"""A file that is turned over by size while it is written: what it held is beside it until the next time."""

import logging
import os
from contextlib import suppress
from pathlib import Path

_LONGEST_LINE = 256 * 1024
"""A line up to this long is in one file; of a longer one, each file holds a part."""

_logger = logging.getLogger(__name__)


def older(path: Path) -> Path:
    """Where that file's content goes when it is turned over."""
    return path.with_name(f"{path.name}.1")


class TurnedFile:
    """Appends to a file, and never keeps more than `most` bytes there and `most` beside it.

    What cannot be kept is dropped, so that a full disk stops nobody. A file that was removed is not made again.
    """

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._most = most
        self._failed = False
        for file in (path, older(path)):
            if file.exists() and file.stat().st_size > most:
                file.unlink()
        self._file = self._open()
        self._size = os.fstat(self._file).st_size
        self._line = self._size  # where the last line begins
        self._printed = 0

    @property
    def printed(self) -> int:
        """How many bytes were written since this was made."""
        return self._printed

    def write(self, data: bytes) -> None:
        """Append that."""
        self._printed += len(data)
        try:
            self._append(memoryview(data))
        except OSError as error:
            if not self._failed:
                _logger.warning("the log %s lacks what was printed: %s", self._path, error)
            self._failed = True

    def close(self) -> None:
        """Write no more."""
        os.close(self._file)

    def _append(self, data: memoryview) -> None:
        while data:
            if self._size >= self._most:
                self._turn_over()
            written = os.write(self._file, data[: self._most - self._size])
            end = bytes(data[:written]).rfind(b"\n")
            if end >= 0:
                self._line = self._size + end + 1
            self._size += written
            data = data[written:]

    def _turn_over(self) -> None:
        """A line without its end goes on in the new file, from its beginning, unless it is too long."""
        begun = self._size - self._line
        unfinished = os.pread(self._file, begun, self._line) if begun <= min(_LONGEST_LINE, self._most // 2) else b""
        os.ftruncate(self._file, self._size - len(unfinished))
        self._begin_anew()
        self._size = self._line = 0
        self._size = os.write(self._file, unfinished)

    def _begin_anew(self) -> None:
        if self._removed():
            os.ftruncate(self._file, 0)
            return
        with suppress(FileNotFoundError):  # that happened the last time, when no new one could be opened
            self._path.replace(older(self._path))
        full, self._file = self._file, self._open()
        os.close(full)

    def _removed(self) -> bool:
        return os.fstat(self._file).st_nlink == 0

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
