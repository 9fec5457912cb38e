"""What is counted, in the text format of Prometheus (exposition format 0.0.4).

The numbers of a replica lie in memory that its processes share: each writes a row of its own, and any of them tells the sum.
"""

import mmap
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# Where in a row what is.
_STATUSES = 600
_DURATIONS = _STATUSES + len(_BUCKETS) + 1
_SECONDS, _REJECTED, _FAILED, _BYTES_IN, _BYTES_OUT, _SLOTS, _BUSY, _WAITING, _WORKED, _WIDTH = range(
    _DURATIONS, _DURATIONS + 10
)
_DOUBLE = 8


class Counts:
    """What one process counts."""

    def __init__(self, row: "memoryview[float]") -> None:
        self._row = row

    def answered(self, status: int, seconds: float, bytes_in: int, bytes_out: int) -> None:
        """A request to score was answered so, in that time."""
        row = self._row
        row[status] += 1
        row[_STATUSES + bisect_left(_BUCKETS, seconds)] += 1
        row[_SECONDS] += seconds
        row[_BYTES_IN] += bytes_in
        row[_BYTES_OUT] += bytes_out

    def rejected(self) -> None:
        """A request found no place in the line."""
        self._row[_REJECTED] += 1

    def failed(self) -> None:
        """The driver failed."""
        self._row[_FAILED] += 1

    def worked(self, seconds: float) -> None:
        """A slot was busy for so long."""
        self._row[_WORKED] += seconds

    def slots(self, count: int) -> None:
        """There are so many slots."""
        self._row[_SLOTS] = count

    def at_work(self, busy: int, waiting: int) -> None:
        """So many of them are busy now, and so many requests wait for one."""
        self._row[_BUSY] = busy
        self._row[_WAITING] = waiting


class Metrics:
    """The counts of all processes of a replica. It is made before they part."""

    def __init__(self, processes: int = 1) -> None:
        memory = memoryview(mmap.mmap(-1, processes * _WIDTH * _DOUBLE)).cast("d")
        self._rows = [memory[start : start + _WIDTH] for start in range(0, len(memory), _WIDTH)][:processes]

    def of(self, process: int) -> Counts:
        """What that process counts; it goes on with what the one before it counted."""
        return Counts(self._rows[process])

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return "".join(f"{line}\n" for line in _lines([sum(column) for column in zip(*self._rows, strict=True)])).encode()


def _lines(total: Sequence[float]) -> Iterator[str]:
    yield from _head("slipway_requests_total", "counter", "Requests to score that were answered.")
    for status in range(_STATUSES):
        if total[status]:
            yield f'slipway_requests_total{{code="{status}"}} {_number(total[status])}'
    yield from _durations(total)
    for name, kind, what, place in _SINGLE:
        yield from _head(name, kind, what)
        yield f"{name} {_number(total[place])}"
    yield from _head("slipway_busy_ratio", "gauge", "The share of the slots that is busy, 0 to 1.")
    yield f"slipway_busy_ratio {_number(total[_BUSY] / total[_SLOTS] if total[_SLOTS] else 0)}"


_SINGLE = (
    ("slipway_rejections_total", "counter", "Requests that found every slot busy and no place to wait.", _REJECTED),
    ("slipway_driver_errors_total", "counter", "Requests that the driver failed.", _FAILED),
    ("slipway_request_bytes_total", "counter", "Bytes of the bodies of requests to score.", _BYTES_IN),
    ("slipway_response_bytes_total", "counter", "Bytes of the bodies of their answers.", _BYTES_OUT),
    ("slipway_slots", "gauge", "Requests that may be worked on at once.", _SLOTS),
    ("slipway_slots_busy", "gauge", "Requests that are worked on now.", _BUSY),
    ("slipway_slots_waiting", "gauge", "Requests that wait for a slot.", _WAITING),
    ("slipway_slots_busy_seconds_total", "counter", "For how long slots were busy, all together.", _WORKED),
)


def _durations(total: Sequence[float]) -> Iterator[str]:
    name = "slipway_request_duration_seconds"
    yield from _head(name, "histogram", "From the arrival of a whole request to its answer.")
    counts = list(accumulate(total[_STATUSES : _STATUSES + len(_BUCKETS) + 1]))
    for bound, count in zip((*_BUCKETS, "+Inf"), counts, strict=True):
        yield f'{name}_bucket{{le="{bound}"}} {_number(count)}'
    yield f"{name}_sum {_number(total[_SECONDS])}"
    yield f"{name}_count {_number(counts[-1])}"


def _head(name: str, kind: str, what: str) -> tuple[str, str]:
    return f"# HELP {name} {what}", f"# TYPE {name} {kind}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
