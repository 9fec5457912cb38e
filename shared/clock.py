"""The clock of a process that runs by itself."""

import secrets
import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's own time and chance."""

    def now(self) -> datetime:
        """This moment, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that nobody sets."""
        return time.monotonic()

    def random_bits(self, count: int) -> int:
        """That many random bits, from the operating system."""
        return secrets.randbits(count)
