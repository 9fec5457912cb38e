"""The keys of a service, as a Secret is mounted: a folder with the files `primary` and `secondary` (client-facts.md, 32)."""

import hmac
import time
from pathlib import Path

_LOOK_EVERY = 1.0  # seconds


class Keys:
    """Says whose requests are answered: with no folder everybody's, or else those that carry one of the keys.

    The files are read again when they change. Where there is none to be read, no key is good.
    """

    def __init__(self, folder: Path | None) -> None:
        self.needed = folder is not None
        self._files = [folder / name for name in ("primary", "secondary")] if folder else []
        self._seen: list[tuple[int, ...]] | None = None
        self._keys: list[bytes] = []
        self._next_look = 0.0

    def accept(self, authorization: str | None) -> bool:
        """Whether `Authorization: Bearer <key>` names a key. The time it takes does not tell how much of one is right."""
        self._look()
        scheme, _, given = (authorization or "").partition(" ")
        right = [hmac.compare_digest(key, given.strip().encode()) for key in self._keys]
        return scheme.lower() == "bearer" and any(right)

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_EVERY
        seen = [_signature(file) for file in self._files]
        if seen != self._seen:
            self._keys = [key for key in map(_content, self._files) if key]
            self._seen = seen


def _signature(file: Path) -> tuple[int, ...]:
    """What changes with the file: that of a Secret is replaced, behind a symbolic link."""
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes().strip()
    except OSError:
        return b""
