"""Operations: what the API has accepted and works on. Source: api.md, AsyncOperationStatus; design: state in the row."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from shared.domain.documents import Document, Term
from shared.domain.errors import ServiceError
from shared.domain.wire import Json, Timestamp, Wire

_MOST_DETAILS = 32
_LONGEST_MESSAGE, _LONGEST_DETAILS = 8 * 1024, 16 * 1024
"""Bytes: an answer stays below 64 KiB whatever was refused, although JSON doubles some, and an event fits a queue."""

UNDO = "undo"
"""The step of an operation that will not succeed: what it did is taken back."""


class State(StrEnum):
    """AsyncOperationState: the only states a client knows."""

    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    CANCELLED = "Cancelled"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def status(self) -> str:
        """What the pollers of Azure's SDKs call it."""
        return _STATUSES.get(self, self.value)

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen."""
        return self in (State.CANCELLED, State.SUCCEEDED, State.FAILED)


_STATUSES = {State.CANCELLED: "Canceled"}
"""What Azure's own clients call a state; the others are called the same."""


class OperationType(StrEnum):
    """What kind of resource an operation is about; a pipeline is about several."""

    IMAGE = "Image"
    SERVICE = "Service"
    PIPELINE = "Pipeline"


class ErrorDetail(Wire):
    """api.md, ErrorDetail."""

    code: str
    message: str


class ErrorResponse(Wire):
    """api.md, ErrorResponse: the answer to any failure, and what failed operations keep."""

    code: str
    message: str
    status_code: int
    details: tuple[ErrorDetail, ...] | None = None

    @classmethod
    def of(cls, error: ServiceError) -> "ErrorResponse":
        """The wire form of an error, cut to what an answer holds."""
        most = _LONGEST_DETAILS // max(1, min(len(error.details), _MOST_DETAILS))
        details = tuple(
            ErrorDetail(code=detail.code, message=_cut(detail.message, most)) for detail in error.details[:_MOST_DETAILS]
        )
        message = _cut(error.message, _LONGEST_MESSAGE)
        return cls(code=error.code, message=message, status_code=error.status_code, details=details or None)


def _cut(text: str, most: int) -> str:
    raw = text.encode(errors="replace")
    return text if len(raw) <= most else raw[: most - 3].decode(errors="ignore") + "…"


class Lease(Wire):
    """Who works on an operation now. It holds for `seconds` since the row was written, by the store's own clock."""

    owner: str
    seconds: float


class StepStatus(Wire):
    """One step of an operation, as its callers see it; `attempts` counts how often it was begun after a failure, too."""

    name: str
    state: State = State.NOT_STARTED
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    attempts: int = 0
    last_error: ErrorResponse | None = None

    def begun(self, now: datetime, attempts: int) -> "StepStatus":
        """It runs."""
        return self.but(state=State.RUNNING, start_time=self.start_time or now, end_time=None, attempts=attempts)

    def ended(self, state: State, now: datetime) -> "StepStatus":
        """It runs no more; one that never ran stays as it is."""
        return self if self.start_time is None else self.but(state=state, end_time=now)


class Operation(Document):
    """An accepted request: which step comes next, what earlier steps left for it, and how it ended."""

    kind: ClassVar[str] = "operation"
    narrowest: ClassVar[tuple[str, ...]] = ("active", "resourceId", "state", "operationType")
    unseen: ClassVar[frozenset[str]] = frozenset({"lease", "not_before", "deadline", "attempts", "cause", "trace_parent"})

    operation_type: OperationType
    state: State = State.NOT_STARTED
    created_time: Timestamp
    end_time: Timestamp | None = None
    resource_id: str
    error: ErrorResponse | None = None
    warnings: tuple[ErrorDetail, ...] | None = None
    workflow: str
    step: str
    steps: tuple[StepStatus, ...]
    checkpoint: Annotated[dict[str, Json], Field(default_factory=dict)]
    attempts: int = 0
    not_before: Timestamp
    deadline: Timestamp
    waiting_for: str | None = None
    lease: Lease | None = None
    cause: ErrorResponse | None = None
    cancel_requested: Timestamp | None = None
    trace_parent: str | None = None

    def terms(self) -> Iterator[Term]:
        if not self.state.terminal:
            yield {"active": "true"}
        yield {"resourceId": self.resource_id}
        yield {"state": self.state}
        yield {"operationType": self.operation_type}

    @property
    def percent_complete(self) -> int:
        """How many of the planned steps are done; 100 only when all of it is."""
        done = sum(step.state is State.SUCCEEDED for step in self.steps)
        return 100 if self.state is State.SUCCEEDED else min(99, 100 * done // len(self.steps))

    def leased(self, lease: Lease, now: datetime) -> "Operation":
        """A worker has it, and its step runs."""
        steps = self._with_step(lambda step: step.begun(now, self.attempts + 1))
        return self.but(state=State.RUNNING, lease=lease, steps=steps)

    def released(self) -> "Operation":
        """The worker that had it gives it back."""
        return self.but(lease=None)

    def keeping(self, left: Mapping[str, Json]) -> "Operation":
        """With what the step in hand has left."""
        return self.but(checkpoint={**self.checkpoint, **left})

    def at_step(self, step: str, left: Mapping[str, Json], now: datetime, lease: Lease | None) -> "Operation":
        """The step in hand is done, unless it goes on itself, and that one is due; with a lease the same worker goes on."""
        done = self.steps if step == self.step else self._with_step(lambda step: step.ended(State.SUCCEEDED, now))
        after = self.keeping(left).but(
            step=step,
            steps=done,
            attempts=0,
            not_before=now,
            lease=None,
            waiting_for=None,
            cause=None,
        )
        return after.leased(lease, now) if lease else after

    def waiting(self, waiting_for: str, until: datetime) -> "Operation":
        """The step in hand looks again then. What it waits for is no failure, so those before count no more."""
        cause = self.cause if self.undoing else None
        return self.but(attempts=0, not_before=until, lease=None, waiting_for=waiting_for, cause=cause)

    def retrying(self, error: ErrorResponse, until: datetime) -> "Operation":
        """The step in hand failed, and is tried again then. Why all is taken back stays what it was."""
        return self.but(
            attempts=self.attempts + 1,
            steps=self._with_step(lambda step: step.but(last_error=error)),
            not_before=until,
            lease=None,
            waiting_for=error.message,
            cause=self.cause if self.undoing else error,
        )

    def failing(self, cause: ErrorResponse | None, now: datetime, deadline: datetime, lease: Lease | None) -> "Operation":
        """It will not succeed, for that cause or because it is cancelled; what it did is taken back."""
        stopped = State.FAILED if cause else State.CANCELLED
        ended = self._with_step(lambda step: step.ended(stopped, now).but(last_error=cause or step.last_error))
        after = self.but(
            step=UNDO,
            steps=(*ended, StepStatus(name=UNDO)),
            attempts=0,
            not_before=now,
            deadline=deadline,
            waiting_for=None,
            cause=cause,
        )
        return after.leased(lease, now) if lease else after

    @property
    def undoing(self) -> bool:
        """Whether what it did is being taken back."""
        return self.step == UNDO

    def cancelling(self, now: datetime) -> "Operation":
        """It is to be given up, whatever it waits for; who holds the lease may not know yet."""
        return self.but(cancel_requested=now, not_before=min(now, self.not_before))

    def cancelled(self, now: datetime) -> "Operation":
        """It was given up with the resource it is about; the lease stays, since who holds it may not know yet."""
        steps = self._with_step(lambda step: step.ended(State.CANCELLED, now))
        return self.but(state=State.CANCELLED, end_time=now, waiting_for=None, steps=steps)

    def ended(self, state: State, now: datetime, error: ErrorResponse | None = None) -> "Operation":
        """Nothing more will happen."""
        last = State.SUCCEEDED if state is not State.FAILED or self.undoing else State.FAILED
        steps = self._with_step(lambda step: step.ended(last, now))
        return self.but(state=state, end_time=now, error=error, lease=None, waiting_for=None, steps=steps)

    def warned(self, left: ErrorResponse) -> "Operation":
        """Something that it made is still there, for that cause."""
        return self.but(warnings=(*(self.warnings or ()), ErrorDetail(code=left.code, message=left.message)))

    def _with_step(self, change: Callable[[StepStatus], StepStatus]) -> tuple[StepStatus, ...]:
        return tuple(change(step) if step.name == self.step else step for step in self.steps)


class AsyncOperationStatus(Wire):
    """An operation as its callers see it; `resource_location` is the absolute URL of what it creates or updates."""

    id: str
    operation_type: OperationType
    state: State
    status: str
    """The state, as the pollers of Azure's SDKs know it."""
    created_time: Timestamp
    end_time: Timestamp | None = None
    resource_location: str
    percent_complete: int
    steps: tuple[StepStatus, ...]
    waiting_for: str | None = None
    cancel_requested: Timestamp | None = None
    error: ErrorResponse | None = None
    warnings: tuple[ErrorDetail, ...] | None = None
    """What it left behind that harms nobody; an extension of api.md."""
