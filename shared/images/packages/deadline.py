"""A time by which something is to be done."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Deadline:
    """So many seconds from when it was set."""

    seconds: float
    began: float = field(default_factory=time.monotonic)

    @property
    def at(self) -> float:
        """When, by the monotonic clock."""
        return self.began + self.seconds

    @property
    def left(self) -> float:
        """The seconds until then; very few when it is over."""
        return max(self.at - time.monotonic(), 0.001)
