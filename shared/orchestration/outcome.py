"""What a step can come to, and what a workflow is. A step returns an outcome; it never sleeps, loops or saves."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from shared.domain.accounts import Account
from shared.domain.documents import Change
from shared.domain.errors import ServiceError
from shared.domain.operations import ErrorResponse, Operation
from shared.domain.wire import Json


@dataclass(frozen=True)
class Next:
    """Go on with that step, at once. `checkpoint` is added to what earlier steps left; `changes` are committed with it."""

    step: str
    checkpoint: Mapping[str, Json] | None = None
    changes: Sequence[Change] = ()


@dataclass(frozen=True)
class Wait:
    """Run this step again after `delay`: what it waits for is not there yet. `checkpoint` is kept for it; `changes` are
    committed with it."""

    delay: timedelta
    waiting_for: str
    checkpoint: Mapping[str, Json] | None = None
    changes: Sequence[Change] = ()


@dataclass(frozen=True)
class Done:
    """The operation has succeeded; `checkpoint` and `changes` are committed with its end."""

    changes: Sequence[Change] = ()
    checkpoint: Mapping[str, Json] | None = None


@dataclass(frozen=True)
class Failure:
    """How an operation failed: the error its callers see, and the changes that are committed with its end."""

    error: ErrorResponse
    changes: Sequence[Change] = ()


type Outcome = Next | Wait | Done
type Step = Callable[[Account, Operation], Awaitable[Outcome]]
"""One step of a workflow: idempotent, since it may run again after a crash. Raises ServiceError to fail or be retried."""


class Workflow(Protocol):
    """A kind of operation: its steps by name, and what happens when it fails or is cancelled."""

    @property
    def steps(self) -> Mapping[str, Step]:
        """The steps."""

    def overdue(self, operation: Operation) -> ServiceError:
        """The error of an operation that did not end by its deadline."""

    async def undo(self, account: Account, operation: Operation) -> Wait | None:
        """Take back the effects on the outside of an operation that will not succeed; idempotent. None when it is done."""

    async def failed(self, account: Account, operation: Operation, error: ErrorResponse, *, undone: bool) -> Failure:
        """What the failure means for the resource; reads only, since the engine commits it.

        `undone` is whether the effects were taken back; the error says so when they were not.
        """

    async def cancelled(self, account: Account, operation: Operation) -> Sequence[Change]:
        """What being cancelled means for the resource; reads only, since the engine commits it."""
