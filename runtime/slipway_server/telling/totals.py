"""How much was told, and how much was lost: the telling process counts, and every process of the server reads."""

import mmap
import threading
from collections.abc import Iterator

DESTINATIONS = ("storage", "event_hub", "app_insights")
"""Who may be told, and where in the memory its two numbers are."""
DROPPED = 2 * len(DESTINATIONS)
SIZE = 8 * (DROPPED + 1)


class Totals:
    """Numbers in memory that processes share. One process alone writes."""

    def __init__(self, file: int) -> None:
        """Those in a file of `SIZE` bytes."""
        self._numbers = memoryview(mmap.mmap(file, SIZE)).cast("q")
        self._writing = threading.Lock()

    def add(self, destination: str, *, told: int = 0, lost: int = 0) -> None:
        """Of so many rows, or records whose rows were not made yet, a destination was told, or never will be."""
        place = 2 * DESTINATIONS.index(destination)
        with self._writing:
            self._numbers[place] += told
            self._numbers[place + 1] += lost

    def drop(self, count: int) -> None:
        """So many records never left the server."""
        with self._writing:
            self._numbers[DROPPED] += count

    @property
    def dropped(self) -> int:
        """How many records never left the server, as far as the telling process knows."""
        return self._numbers[DROPPED]

    def lost(self, destination: str) -> int:
        """How much a destination never will be told."""
        return self._numbers[2 * DESTINATIONS.index(destination) + 1]

    def lines(self, destinations: tuple[str, ...], dropped: int) -> Iterator[str]:
        """All in the text format of Prometheus; `dropped` are those that the telling process does not know of yet."""
        for offset, name in enumerate(("slipway_told_total", "slipway_lost_total")):
            yield f"# HELP {name} {_HELP[offset]}"
            yield f"# TYPE {name} counter"
            for destination in destinations:
                number = self._numbers[2 * DESTINATIONS.index(destination) + offset]
                yield f'{name}{{destination="{destination}"}} {number}'
        yield f"# HELP slipway_dropped_total {_HELP[2]}"
        yield "# TYPE slipway_dropped_total counter"
        yield f"slipway_dropped_total {self.dropped + dropped}"


_HELP = (
    "Rows, requests and log lines that a destination was told of.",
    "Rows, requests and log lines that a destination never will be told of.",
    "Requests, log lines and collected rows that were dropped before any destination could be told of them.",
)
