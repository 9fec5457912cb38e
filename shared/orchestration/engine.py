"""The engine: lease an operation, run its steps one by one, commit each outcome by ETag, wake what comes after a wait.

The row is the truth and a wake-up only says "look": a lost one is found by the sweep, a doubled one finds nothing to
do. No state is kept in a process, and only the engine retries.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import batched

from shared.domain.accounts import Account
from shared.domain.documents import Renew, Replace, Stored
from shared.domain.errors import LeftBehind, NotFound, PreconditionFailed, ServiceError, out_of_room
from shared.domain.fencing import LeaseLost
from shared.domain.operations import ErrorResponse, Operation, State
from shared.domain.ports import NO_TELEMETRY, Clock, Store, Telemetry, WakeUps
from shared.orchestration.hold import CancelRequested, ChangedMeanwhile, Ended, Hold, LeaseTerms, is_being_undone, is_leased
from shared.orchestration.outcome import Done, Next, Outcome, Wait, Workflow
from shared.orchestration.shares import Shares
from shared.resources.transitions import Transitions

_logger = logging.getLogger(__name__)

_SWEEP_PAGE = 200
_WAKES_AT_ONCE = 32
_LAST_WORDS = 1.5  # seconds in which a worker that is stopped may give back what it holds
_ONE_MORE_TRY = timedelta(minutes=1)
_UNDO_TIMED_OUT = ServiceError("its time was up.", code="UndoTimedOut", status_code=504)
_UNDO_BROKE = ErrorResponse.of(ServiceError("a step broke; the log says where."))
_UNEXPLAINED = ErrorResponse.of(ServiceError("The operation could not be completed."))


@dataclass(frozen=True)
class Limits:
    """How often a step is tried, how long it waits in between, how long one wake-up may go on from step to step.

    `share` is how many operations of one account a worker runs at once, builds counted apart from all others.
    """

    attempts: Mapping[str, int] = field(default_factory=dict)
    otherwise: int = 8
    first_delay: timedelta = timedelta(seconds=1)
    longest_delay: timedelta = timedelta(minutes=2)
    turn: timedelta = timedelta(minutes=1)
    to_undo: timedelta = timedelta(hours=1)
    share: int = 16
    lease: LeaseTerms = field(default_factory=LeaseTerms)


class Engine:
    """Runs operations. `owner` names this worker in leases."""

    def __init__(
        self,
        store: Store,
        wake_ups: WakeUps,
        clock: Clock,
        workflows: Mapping[str, Workflow],
        *,
        owner: str,
        limits: Limits,
        telemetry: Telemetry = NO_TELEMETRY,
    ) -> None:
        self._store = store
        self._wake_ups = wake_ups
        self._clock = clock
        self._workflows = workflows
        self._owner = owner
        self._limits = limits
        self._telemetry = telemetry
        self._transitions = Transitions(telemetry)
        self._shares = Shares(limits.share)

    async def run(self, account: Account, operation_id: str) -> None:
        """Run the steps that are due, if any is and nobody else works on it.

        A bug in a step propagates after its cause is recorded, so that the queue delivers the wake-up again. An outage
        of the store does not: redelivery would give up on it in seconds, and the sweep never does.
        """
        try:
            stored = await self._store.get(account, Operation, operation_id)
            if stored is not None and await self._may_run(account, stored):
                await self._run_in_share(account, stored)
        except LeaseLost as lost:
            self._telemetry.count("slipway.lease.losses")
            _logger.warning("operation=%s outcome=LeaseLost: %s", operation_id, lost.message)
        except PreconditionFailed:
            _logger.info("operation=%s outcome=Elsewhere: another worker was first", operation_id)
        except ServiceError as error:
            if not error.retryable:
                raise
            _logger.warning("operation=%s outcome=LeftToTheSweep: %s", operation_id, error.message)

    async def close(self, account: Account, operation_id: str) -> None:
        """Fail an operation that redelivery gave up on, with the cause that was recorded; harmless when it has ended.

        What it did is taken back first; when that is what broke, it ends at once.
        """
        while True:
            stored = await self._store.get(account, Operation, operation_id)
            if stored is None or stored.document.state.terminal or is_being_undone(stored):
                return
            with suppress(PreconditionFailed):
                await self._close(account, stored)
                return

    async def sweep(self, account: Account) -> int:
        """Wake every operation that is due; returns how many. A lost wake-up ends here, and one that is worked on
        finds nothing to do."""
        woken, after = 0, None
        while True:
            page = await self._store.page(account, Operation, {"active": "true"}, count=_SWEEP_PAGE, after=after)
            due = [operation for operation in page.items if operation.not_before <= self._clock.now()]
            for some in batched(due, _WAKES_AT_ONCE, strict=False):
                await asyncio.gather(*(self._wake_ups.wake(account, operation) for operation in some))
            woken += len(due)
            after = page.after
            if after is None:
                return woken

    async def _may_run(self, account: Account, stored: Stored[Operation]) -> bool:
        """Whether it is due and free; a wake-up that came too early, by another clock than ours, comes again."""
        operation = stored.document
        if operation.state.terminal or is_leased(stored):
            return False
        early = operation.not_before - self._clock.now()
        if early > timedelta(0):
            await self._wake(account, operation, early)
            return False
        self._telemetry.measure("slipway.queue.age", -early.total_seconds(), {"workflow": operation.workflow})
        return True

    async def _run_in_share(self, account: Account, stored: Stored[Operation]) -> None:
        """Run it when its account has a place for it; else it says that it waits, and the next one to end wakes it."""
        operation, waiting_for = stored.document, f"its turn: {self._shares.most} others of its account are under way"
        if not self._shares.begin(account, operation):
            if operation.waiting_for != waiting_for:
                await self._store.commit(account, [Renew(stored, operation.but(waiting_for=waiting_for))])
            return
        if operation.waiting_for == waiting_for:
            stored = replace(stored, document=operation.but(waiting_for=None))
        try:
            await self._run(account, stored)
        finally:
            if (following := self._shares.end(account, operation)) is not None:
                await self._wake(account, following)

    async def _run(self, account: Account, stored: Stored[Operation]) -> None:
        owner = f"{self._owner}/{self._clock.random_bits(32):08x}"
        hold = Hold(self._store, self._clock, account, stored, owner=owner, terms=self._limits.lease)
        await hold.take()
        self._transitions.count(stored.document, hold.operation)
        until = self._clock.monotonic() + self._limits.turn.total_seconds()
        try:
            while await self._run_step(account, hold, last=self._clock.monotonic() >= until):
                pass
        except Ended:
            await hold.let_go()
            raise
        except asyncio.CancelledError:
            await self._give_back(account, hold)
            raise

    async def _give_back(self, account: Account, hold: Hold) -> None:
        """This worker is being stopped: another one goes on at once, and not when the lease has run out."""
        try:
            async with asyncio.timeout(_LAST_WORDS):
                await hold.give_back()
                await self._wake_ups.wake(account, hold.operation)
        except (ServiceError, CancelRequested, TimeoutError) as error:
            _logger.warning("operation=%s: its lease runs out by itself: %s", hold.operation.id, error)

    async def _run_step(self, account: Account, hold: Hold, *, last: bool) -> bool:
        """Run the step that is due and commit what it came to; whether this worker goes on with the next one."""
        operation, began = hold.operation, self._clock.now()
        attributes = {"operation": operation.id, "step": operation.step, "resource": operation.resource_id}
        with self._telemetry.span(f"{operation.workflow} {operation.step}", operation.trace_parent, attributes):
            try:
                goes_on, came_to = await self._work(account, hold, last=last)
            except CancelRequested:
                goes_on, came_to = await self._undo(hold, None), "Cancelling"
        took, of_step = self._clock.now() - began, {"workflow": operation.workflow, "step": operation.step}
        self._telemetry.measure("slipway.step.duration", took.total_seconds(), of_step)
        self._transitions.tell(operation, hold.operation, came_to, took)
        return goes_on

    async def _work(self, account: Account, hold: Hold, *, last: bool) -> tuple[bool, str]:
        """Run the step in hand and commit its outcome, or what its failure means; what `_run_step` tells of it."""
        operation = hold.operation
        if operation.cancel_requested and not operation.undoing:
            raise CancelRequested  # as if it had come while the step ran
        try:
            outcome = await hold.work(self._step(account, operation))
            goes_on = await self._advance(account, hold, outcome, last=last)
            return goes_on, type(outcome).__name__ if outcome else "Undone"
        except (LeaseLost, CancelRequested):
            raise
        except Exception as raised:
            error = out_of_room(raised) or raised
            if isinstance(error, ServiceError):
                return await self._retry_or_give_up(account, hold, error), error.code
            _logger.exception("operation=%s step=%s outcome=Broke", operation.id, operation.step)
            await self._record_bug(hold, raised)
            raise

    async def _step(self, account: Account, operation: Operation) -> Outcome | None:
        workflow, late = self._workflows[operation.workflow], self._clock.now() > operation.deadline
        if operation.undoing:
            undone = await workflow.undo(account, operation)  # late or not: nobody may have had the time before
            if undone and late:
                raise _UNDO_TIMED_OUT
            return undone
        if late:
            raise workflow.overdue(operation)
        return await workflow.steps[operation.step](account, operation)

    async def _advance(self, account: Account, hold: Hold, outcome: Outcome | None, *, last: bool) -> bool:
        operation, now = hold.operation, self._clock.now()
        match outcome:
            case Next(step, left, changes):
                await hold.commit(operation.at_step(step, left or {}, now, None if last else hold.lease), changes)
                if last:
                    await self._wake(account, hold.operation)
                return not last
            case Wait(delay, waiting_for, left, changes):
                await hold.commit(operation.keeping(left or {}).waiting(waiting_for, now + delay), changes)
                await self._wake(account, hold.operation, delay)
            case Done(changes, left):
                await hold.commit(operation.keeping(left or {}).ended(State.SUCCEEDED, now), changes)
            case None:
                await self._end(account, hold)
        return False

    async def _retry_or_give_up(self, account: Account, hold: Hold, error: ServiceError) -> bool:
        operation, now = hold.operation, self._clock.now()
        delay, response = self._pause(operation, error, now), ErrorResponse.of(error)
        _logger.warning("operation=%s step=%s failed: %s %s", operation.id, operation.step, error.code, error.message)
        if error.retryable and self._may_retry(operation, now + delay):
            self._telemetry.count("slipway.retries", {"workflow": operation.workflow, "step": operation.step})
            await hold.commit(operation.retrying(response, now + delay))
            await self._wake(account, hold.operation, delay)
            return False
        if not operation.undoing:
            return await self._undo(hold, response)
        await self._end(account, hold, left=response, harmless=isinstance(error, LeftBehind))
        return False

    def _may_retry(self, operation: Operation, moment: datetime) -> bool:
        """Taking back is tried as long as there is time: giving up on it would leave something behind."""
        attempts = self._limits.attempts.get(operation.workflow, self._limits.otherwise)
        return moment <= operation.deadline and (operation.undoing or operation.attempts + 1 < attempts)

    def _pause(self, operation: Operation, error: ServiceError, now: datetime) -> timedelta:
        """As long as whoever refused asked for, but so that one more try fits before the deadline."""
        left = operation.deadline - now
        asked = min(timedelta(seconds=error.retry_after or 0), left - min(_ONE_MORE_TRY, left / 2))
        return max(self._delay(operation.attempts), asked)

    def _delay(self, attempts: int) -> timedelta:
        """Doubling from the first delay to the longest, up to half of it by chance."""
        longest = min(self._limits.first_delay * (1 << min(attempts, 16)), self._limits.longest_delay)
        return longest * (0.5 + self._clock.random_bits(16) / 0xFFFF / 2)

    async def _undo(self, hold: Hold, cause: ErrorResponse | None) -> bool:
        """Go on with taking back what was done, for that cause or because it is cancelled."""
        now = self._clock.now()
        await hold.commit(hold.operation.failing(cause, now, now + self._limits.to_undo, hold.lease))
        return True

    async def _end(self, account: Account, hold: Hold, left: ErrorResponse | None = None, *, harmless: bool = False) -> None:
        """It has ended without success. `left` says why what it did could not be taken back: a warning, where harmless."""
        operation, workflow, now = hold.operation, self._workflows[hold.operation.workflow], self._clock.now()
        if left and harmless:
            operation, left = operation.warned(left), None
        try:
            if operation.cause is None and left is None:
                changes = await workflow.cancelled(account, operation)
                await hold.commit(operation.ended(State.CANCELLED, now), changes)
            else:
                error = _and_left_behind(operation.cause, left)
                failure = await workflow.failed(account, operation, error, undone=left is None)
                await hold.commit(operation.ended(State.FAILED, now, failure.error), failure.changes)
        except NotFound as gone:
            raise ChangedMeanwhile(gone.message) from gone  # deleted, and the operation ended with it

    async def _close(self, account: Account, stored: Stored[Operation]) -> None:
        operation, now = stored.document, self._clock.now()
        if operation.undoing:
            error = _and_left_behind(operation.cause, _UNDO_BROKE)
            failure = await self._workflows[operation.workflow].failed(account, operation, error, undone=False)
            closed = operation.ended(State.FAILED, now, failure.error)
            await self._store.commit(account, [Replace(stored, closed), *failure.changes])
        else:
            closed = operation.failing(operation.cause or _UNEXPLAINED, now, now + self._limits.to_undo, None)
            await self._store.commit(account, [Replace(stored, closed)])
            await self._wake(account, closed, self._limits.lease.lasts if closed.lease else timedelta(0))
        self._transitions.tell(operation, closed, "Closed", self._clock.now() - now)

    async def _record_bug(self, hold: Hold, bug: Exception) -> None:
        """So that the poison queue's function can close the operation with it; a better cause is kept."""
        broke = ErrorResponse.of(ServiceError(f"A step broke ({type(bug).__name__}); the log says where."))
        with suppress(CancelRequested, ChangedMeanwhile):
            cause = hold.operation.cause or broke
            await hold.commit(hold.operation.retrying(cause, self._clock.now()).but(cause=cause))

    async def _wake(self, account: Account, operation: Operation, delay: timedelta = timedelta(0)) -> None:
        try:
            await self._wake_ups.wake(account, operation, delay)
        except ServiceError as error:
            _logger.warning("operation=%s: not woken, the sweep will: %s", operation.id, error.message)


def _and_left_behind(cause: ErrorResponse | None, left: ErrorResponse | None) -> ErrorResponse:
    """Why it failed and, when what it did could not be taken back, why not."""
    if left is None:
        return cause or _UNEXPLAINED
    behind = f"What it did could not be taken back: {left.message}"
    return cause.but(message=f"{cause.message} {behind}") if cause else left.but(message=behind)
