"""What came out of a sandbox: files of whoever ran in it, so read as such."""

import json
import os
import stat
from pathlib import Path
from typing import IO, Any

from shared.images.packages.store import copied

_LARGEST_ANSWER = 4 * 1024**2


class BadAnswer(Exception):
    """There is none, or it is none."""


def read_answer(path: Path) -> dict[str, Any]:
    """A JSON object; raises BadAnswer."""
    try:
        with _opened(path, _LARGEST_ANSWER) as file:
            answer = json.loads(file.read(_LARGEST_ANSWER))
    except (ValueError, RecursionError):
        raise BadAnswer("it is no JSON") from None
    if not isinstance(answer, dict):
        raise BadAnswer("it is no JSON object")
    return answer


def take_file(path: Path, into: Path, most: int) -> str:
    """Copy a file of at most so many bytes; its SHA-256. Raises BadAnswer."""
    with _opened(path, most) as file:
        return copied(file, into, most)


def _opened(path: Path, most: int) -> IO[bytes]:
    """A regular file, and no link to one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BadAnswer(f"it cannot be read: {error.strerror}") from None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size <= most:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise BadAnswer(f"it is no file of at most {most} bytes")
