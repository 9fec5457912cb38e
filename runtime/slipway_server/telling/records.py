"""What the server hands to the telling process: plain values only, so that nothing has to be known there of the driver.

They go through a pipe as `marshal` writes them: both ends are the same Python, and no format of the standard library is
faster.
"""

import marshal
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

type Cell = str | int | float | bool | list[Cell] | dict[str, Cell] | None
"""A value of a row. What is nested becomes its JSON text before it goes out."""


class Scored(NamedTuple):
    """A request and its answer. The bodies are there when they are to be collected."""

    began: float
    seconds: float
    request_id: str
    trace_parent: str
    path: str
    status: int
    collected: bool
    inputs: bytes
    predictions: bytes


class Collected(NamedTuple):
    """Rows that the driver collected by hand, and where they belong if the image does not say."""

    at: float
    request_id: str
    correlation_id: str
    account: str
    service: str
    model: str
    model_id: str
    model_version: str
    identifier: str
    columns: list[str]
    rows: list[list[Cell]]


class Logged(NamedTuple):
    """A line that the driver logged."""

    at: float
    request_id: str
    trace_parent: str
    level: str
    message: str


class Called(NamedTuple):
    """An HTTP request that the driver made; the status is 0 when there was no answer."""

    began: float
    seconds: float
    request_id: str
    trace_parent: str
    method: str
    scheme: str
    host: str
    port: int
    path: str
    status: int


type Record = Scored | Collected | Logged | Called

_KINDS = (Scored, Collected, Logged, Called)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
SCORED, _COLLECTED = _NUMBERS[Scored], _NUMBERS[Collected]
_IS_COLLECTED = 1 + Scored._fields.index("collected")
_HEAD = struct.Struct("<III")
OVERHEAD = 256
"""About so many bytes of memory a record takes beyond what it says."""


def size(record: Record) -> int:
    """About so many bytes of memory."""
    match record:
        case Scored():
            return len(record.inputs) + len(record.predictions) + OVERHEAD
        case Collected():
            return sum(_weight(cell) for row in record.rows for cell in row) + OVERHEAD
        case Logged():
            return len(record.message) + OVERHEAD
        case _:
            return OVERHEAD


def _weight(cell: Cell) -> int:
    match cell:
        case str():
            return len(cell)
        case list():
            return 8 + sum(map(_weight, cell))
        case dict():
            return 8 + sum(len(name) + _weight(item) for name, item in cell.items())
        case _:
            return 8


type Handed = tuple[Any, ...]
"""A record as it is handed over: the number of its kind, and its fields. A plain tuple is made, and forgotten by the garbage
collector, in a fraction of a record's time."""


def handed(record: Record) -> Handed:
    """The record as it is handed over."""
    return (_NUMBERS[type(record)], *record)


def packed(records: Sequence[Handed], dropped: int) -> bytes:
    """The records as bytes, and how many were dropped since the last ones.

    How many are collected, and how many reported, comes first: it is known without a look at them.
    """
    collected = sum(record[0] == _COLLECTED or (record[0] == SCORED and record[_IS_COLLECTED]) for record in records)
    reported = sum(record[0] != _COLLECTED for record in records)
    return _HEAD.pack(dropped, collected, reported) + marshal.dumps(records)  # type: ignore[arg-type]  # all plain values


@dataclass(frozen=True)
class Handover:
    """Records that came through the pipe together, unpacked when they are needed."""

    dropped: int
    collected: int
    reported: int
    data: bytes

    @classmethod
    def of(cls, data: bytes) -> Self:
        """What was packed."""
        dropped, collected, reported = _HEAD.unpack_from(data)
        return cls(dropped, collected, reported, data)

    def count(self, *, collected: bool) -> int:
        """How many there are of data that is collected, or else of what is reported."""
        return self.collected if collected else self.reported

    def records(self, *, collected: bool) -> Iterator[Record]:
        """They, one by one."""
        for number, *fields in marshal.loads(memoryview(self.data)[_HEAD.size :]):  # noqa: S302  from this replica's server
            record: Record = _KINDS[number](*fields)
            if _is_collected(record) if collected else not isinstance(record, Collected):
                yield record


def _is_collected(record: Record) -> bool:
    return isinstance(record, Collected) or (isinstance(record, Scored) and record.collected)
