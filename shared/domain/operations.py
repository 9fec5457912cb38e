"""Operations: what the API has accepted and works on. Source: api.md, AsyncOperationStatus; design: state in the row."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from shared.domain.documents import Document, Term
from shared.domain.errors import ServiceError
from shared.domain.wire import Json, Timestamp, Wire


class State(StrEnum):
    """AsyncOperationState: the only states a client knows."""

    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    CANCELLED = "Cancelled"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen."""
        return self in (State.CANCELLED, State.SUCCEEDED, State.FAILED)


class OperationType(StrEnum):
    """What kind of resource an operation is about."""

    IMAGE = "Image"
    SERVICE = "Service"


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
        """The wire form of an error."""
        details = tuple(ErrorDetail(code=detail.code, message=detail.message) for detail in error.details)
        return cls(code=error.code, message=error.message, status_code=error.status_code, details=details or None)


class Lease(Wire):
    """Who works on an operation now, and until when nobody else does."""

    owner: str
    until: Timestamp


class Operation(Document):
    """An accepted request: which step comes next, what earlier steps left for it, and how it ended."""

    kind: ClassVar[str] = "operation"
    narrowest: ClassVar[tuple[str, ...]] = ("active",)

    operation_type: OperationType
    state: State = State.NOT_STARTED
    created_time: Timestamp
    end_time: Timestamp | None = None
    resource_id: str
    error: ErrorResponse | None = None
    workflow: str
    step: str
    checkpoint: Annotated[dict[str, Json], Field(default_factory=dict)]
    attempts: int = 0
    not_before: Timestamp
    deadline: Timestamp
    waiting_for: str | None = None
    lease: Lease | None = None
    cause: ErrorResponse | None = None

    def terms(self) -> Iterator[Term]:
        if not self.state.terminal:
            yield {"active": "true"}

    def leased(self, owner: str, until: datetime) -> "Operation":
        """A worker has it, and it runs."""
        return self.but(state=State.RUNNING, lease=Lease(owner=owner, until=until))

    def at_step(self, step: str, left: Mapping[str, Json], now: datetime) -> "Operation":
        """The step in hand is done, and that one is due."""
        checkpoint = {**self.checkpoint, **left}
        return self.but(
            step=step, checkpoint=checkpoint, attempts=0, not_before=now, lease=None, waiting_for=None, cause=None
        )

    def waiting(self, waiting_for: str, until: datetime) -> "Operation":
        """The step in hand looks again then."""
        return self.but(attempts=0, not_before=until, lease=None, waiting_for=waiting_for, cause=None)

    def retrying(self, cause: ErrorResponse, until: datetime) -> "Operation":
        """The step in hand failed, and is tried again then."""
        return self.but(attempts=self.attempts + 1, not_before=until, lease=None, waiting_for=cause.message, cause=cause)

    def undoing(self, step: str, cause: ErrorResponse, now: datetime, deadline: datetime) -> "Operation":
        """It has failed for that cause, which is kept from here on; what it did is taken back."""
        return self.but(step=step, attempts=0, not_before=now, deadline=deadline, lease=None, waiting_for=None, cause=cause)

    def cancelled(self, now: datetime) -> "Operation":
        """It was given up; the lease stays, since who holds it may not know yet."""
        return self.but(state=State.CANCELLED, end_time=now, waiting_for=None)

    def ended(self, state: State, now: datetime, error: ErrorResponse | None = None) -> "Operation":
        """Nothing more will happen."""
        return self.but(state=state, end_time=now, error=error, lease=None, waiting_for=None)


class AsyncOperationStatus(Wire):
    """An operation as its callers see it; `resource_location` is the absolute URL of what it creates or updates."""

    id: str
    operation_type: OperationType
    state: State
    created_time: Timestamp
    end_time: Timestamp | None = None
    resource_location: str
    waiting_for: str | None = None
    error: ErrorResponse | None = None
