"""How many replicas a service needs. Pure: load and time come in, a count comes out. Source: client-facts.md, 12."""

import math
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class ScalePolicy:
    """Bounds of the count, and the busy share of all slots, in percent, that the count is to keep."""

    lowest: int
    highest: int
    target_utilization: int
    slots_per_replica: int
    period: float
    """Seconds between two looks."""

    def wanted(self, load: float) -> int:
        """The fewest replicas, within bounds, of which `load` requests keep no more than the target share busy."""
        if load <= 0:
            needed = 0
        elif self.target_utilization == 0:
            needed = self.highest
        else:
            exact = load * 100 / (self.slots_per_replica * self.target_utilization)
            needed = math.ceil(round(exact, 6))  # a mean is not exact, and its last digit wants no replica
        return self.bounded(needed)

    def bounded(self, count: int) -> int:
        """That count, or the nearest one within bounds."""
        return min(max(count, self.lowest), self.highest)


class Scaler:
    """Scales out at once, and in only by what was not wanted at any look within the window."""

    def __init__(self, policy: ScalePolicy, *, window: float, count: int, now: float) -> None:
        self._policy = policy
        self._window = window
        self._wanted = deque([(now, count)])

    def observe(self, load: float, now: float) -> int:
        """The count from now on, after a look that found that load."""
        self._wanted.append((now, self._policy.wanted(load)))
        while self._wanted[0][0] <= now - self._window:
            self._wanted.popleft()
        return max(count for _, count in self._wanted)


class MeanLoad:
    """The mean of a load over time: a moment's peak between two looks counts for as long as it lasted."""

    def __init__(self, now: float) -> None:
        self._load = 0
        self._since = self._began = now
        self._area = 0.0

    def note(self, load: int, now: float) -> None:
        """The load from now on."""
        self._area += self._load * (now - self._since)
        self._load, self._since = load, now

    def take(self, now: float) -> float:
        """The mean since this was last asked; the load itself when no time has passed."""
        self.note(self._load, now)
        elapsed = now - self._began
        mean = self._area / elapsed if elapsed > 0 else float(self._load)
        self._began, self._area = now, 0.0
        return mean
