"""What is on its way from many threads to one, which takes it together."""

import threading
from collections.abc import Sequence


class Gathering[T]:
    """Holds at most `bound` bytes, until they are taken: after `seconds` for more, or once there are `enough`."""

    def __init__(self, bound: int, seconds: float, enough: int) -> None:
        self._bound = bound
        self._seconds = seconds
        self._enough = enough
        self._lock = threading.Lock()
        self._held: list[T] = []
        self._size = 0
        self._closed = False
        self._filled = threading.Event()
        self._full = threading.Event()

    def put(self, one: T, weight: int) -> bool:
        """Whether there was room for it; it takes about so many bytes. Never waits."""
        with self._lock:
            if self._closed or self._size + weight > self._bound:
                return False
            if not self._size:
                self._filled.set()
            self._held.append(one)
            self._size += weight
            if self._size >= self._enough:
                self._full.set()
        return True

    def take(self) -> Sequence[T]:
        """All that is there, once something is and had time for company; nothing when it is closed and empty."""
        self._filled.wait()
        self._full.wait(self._seconds)
        return self.rest()

    def rest(self) -> Sequence[T]:
        """All that is there now."""
        with self._lock:
            held, self._held, self._size = self._held, [], 0
            if not self._closed:
                self._filled.clear()
                self._full.clear()
        return held

    def close(self) -> None:
        """Take no more in. Who waits is given what is there at once."""
        with self._lock:
            self._closed = True
            self._filled.set()
            self._full.set()
