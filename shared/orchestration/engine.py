"""The engine: load an operation, run one step of it, commit the outcome by ETag, wake what comes next.

The row is the truth and a wake-up only says "look": a lost one is found by the sweep, a doubled one finds nothing to
do. No state is kept in a process, and only the engine retries.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.accounts import Account
from shared.domain.documents import Change, Replace, Stored
from shared.domain.errors import PreconditionFailed, ServiceError, Unavailable
from shared.domain.operations import ErrorResponse, Operation, State
from shared.domain.ports import Clock, Store, WakeUps
from shared.orchestration.outcome import Done, Next, Outcome, Wait, Workflow

_logger = logging.getLogger(__name__)

UNDO = "undo"
_SWEEP_PAGE = 200
_UNEXPLAINED = ErrorResponse.of(ServiceError("The operation could not be completed."))


@dataclass(frozen=True)
class Limits:
    """How long a lease lasts unrenewed, how often a step is tried, and how long it waits in between."""

    lease: timedelta = timedelta(seconds=60)
    attempts: int = 8
    first_delay: timedelta = timedelta(seconds=1)
    longest_delay: timedelta = timedelta(minutes=2)
    to_undo: timedelta = timedelta(minutes=10)


class _ChangedMeanwhile(Unavailable):
    """What the step decided on is no longer so; the step must be run again."""


class _Held:
    """An operation under this worker's lease, as it was last written."""

    def __init__(self, stored: Stored[Operation]) -> None:
        self.stored = stored

    @property
    def operation(self) -> Operation:
        return self.stored.document


class Engine:
    """Runs operations, one step a wake-up. `owner` names this worker in leases."""

    def __init__(
        self, store: Store, wake_ups: WakeUps, clock: Clock, workflows: Mapping[str, Workflow], *, owner: str, limits: Limits
    ) -> None:
        self._store = store
        self._wake_ups = wake_ups
        self._clock = clock
        self._workflows = workflows
        self._owner = owner
        self._limits = limits

    async def run(self, account: Account, operation_id: str) -> None:
        """Run the step that is due, if one is and nobody else works on it.

        A bug in a step propagates after its cause is recorded, so that the queue delivers the wake-up again. An outage
        of the store does not: redelivery would give up on it in seconds, and the sweep never does.
        """
        try:
            stored = await self._store.get(account, Operation, operation_id)
            if stored is None or not await self._due_or_rewoken(account, stored.document):
                return
            held = _Held(stored)
            await self._extend_lease(account, held)
            await self._run_step(account, held)
        except PreconditionFailed:
            _logger.info("operation %s: another worker has it, or has ended it", operation_id)
        except ServiceError as error:
            if not error.retryable:
                raise
            _logger.warning("operation %s: left to the sweep: %s", operation_id, error.message)

    async def close(self, account: Account, operation_id: str) -> None:
        """End an operation that redelivery gave up on, with the cause that was recorded; harmless when it has ended."""
        while True:
            stored = await self._store.get(account, Operation, operation_id)
            if stored is None or stored.document.state.terminal:
                return
            try:
                await self._end_failed(account, _Held(stored), stored.document.cause or _UNEXPLAINED)
            except (PreconditionFailed, _ChangedMeanwhile):
                continue
            return

    async def sweep(self, account: Account) -> int:
        """Wake every operation that is due and that nobody works on; returns how many. A lost wake-up ends here."""
        woken, after = 0, None
        while True:
            page = await self._store.page(account, Operation, {"active": "true"}, count=_SWEEP_PAGE, after=after)
            for operation in page.items:
                if self._due(operation):
                    await self._wake_ups.wake(account, operation.id)
                    woken += 1
            after = page.after
            if after is None:
                return woken

    def _due(self, operation: Operation) -> bool:
        now = self._clock.now()
        leased = operation.lease is not None and operation.lease.until > now
        return not operation.state.terminal and not leased and operation.not_before <= now

    async def _due_or_rewoken(self, account: Account, operation: Operation) -> bool:
        """Whether to run it now; a wake-up that came too early, by another clock than ours, comes again."""
        early = operation.not_before - self._clock.now()
        if early > timedelta(0) and not operation.state.terminal:
            await self._wake(account, operation, early)
            return False
        return self._due(operation)

    async def _extend_lease(self, account: Account, held: _Held) -> None:
        leased = held.operation.leased(self._owner, self._clock.now() + self._limits.lease)
        (written, *_) = await self._store.commit(account, [Replace(held.stored, leased)])
        held.stored = Stored(leased, written.etag)

    async def _run_step(self, account: Account, held: _Held) -> None:
        operation = held.operation
        workflow = self._workflows[operation.workflow]
        began = self._clock.now()
        try:
            outcome = await self._while_leased(account, held, self._step(workflow, account, operation))
            await self._advance(account, held, outcome, began)
        except PreconditionFailed:
            raise
        except ServiceError as error:
            await self._retry_or_give_up(account, held, error)
        except Exception as bug:
            _logger.exception("operation %s: step %s broke", operation.id, operation.step)
            await self._record_bug(account, held, bug)
            raise

    async def _step(self, workflow: Workflow, account: Account, operation: Operation) -> Outcome | None:
        if operation.step == UNDO:
            await workflow.undo(account, operation)
            return None
        if self._clock.now() > operation.deadline:
            raise workflow.overdue(operation)
        return await workflow.steps[operation.step](account, operation)

    async def _while_leased(
        self, account: Account, held: _Held, work: Coroutine[None, None, Outcome | None]
    ) -> Outcome | None:
        """Renew the lease until the work is done; a worker that loses it is stopped before its next effect."""
        step, finished = asyncio.create_task(work), asyncio.Event()
        renewal = asyncio.create_task(self._renew(account, held, finished))
        try:
            await asyncio.wait({step, renewal}, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                raise PreconditionFailed("The lease was lost.")
            finished.set()
            await renewal
            return step.result()
        finally:
            step.cancel()
            renewal.cancel()
            await asyncio.gather(step, renewal, return_exceptions=True)

    async def _renew(self, account: Account, held: _Held, finished: asyncio.Event) -> None:
        """Returns when the work has finished, or the lease is lost."""
        while True:
            try:
                async with asyncio.timeout(self._limits.lease.total_seconds() / 3):
                    await finished.wait()
                return
            except TimeoutError:
                try:
                    await self._extend_lease(account, held)
                except PreconditionFailed:
                    return
                except ServiceError as error:
                    _logger.warning("operation %s: lease not renewed: %s", held.operation.id, error.message)
                    if held.operation.lease is None or held.operation.lease.until <= self._clock.now():
                        return

    async def _advance(self, account: Account, held: _Held, outcome: Outcome | None, began: datetime) -> None:
        operation, now = held.operation, self._clock.now()
        match outcome:
            case Next(step, left, changes):
                await self._commit(account, held, operation.at_step(step, left or {}, now), changes)
                await self._wake(account, operation, timedelta(0))
            case Wait(delay, waiting_for):
                await self._commit(account, held, operation.waiting(waiting_for, now + delay), ())
                await self._wake(account, operation, delay)
            case Done(changes):
                await self._commit(account, held, operation.ended(State.SUCCEEDED, now), changes)
            case None:
                await self._end_failed(account, held, operation.cause or _UNEXPLAINED)
        _logger.info(
            "operation=%s resource=%s step=%s outcome=%s attempt=%d seconds=%.3f",
            operation.id,
            operation.resource_id,
            operation.step,
            type(outcome).__name__ if outcome else State.FAILED,
            operation.attempts + 1,
            (now - began).total_seconds(),
        )

    async def _commit(self, account: Account, held: _Held, operation: Operation, changes: Sequence[Change]) -> None:
        """Raises PreconditionFailed when the operation is somebody else's now, Unavailable when only another row changed."""
        try:
            await self._store.commit(account, [Replace(held.stored, operation), *changes])
        except PreconditionFailed:
            current = await self._store.get(account, Operation, operation.id)
            if current is None or current.etag != held.stored.etag:
                raise
            raise _ChangedMeanwhile("The resource was changed meanwhile.") from None

    async def _retry_or_give_up(self, account: Account, held: _Held, error: ServiceError) -> None:
        operation, now = held.operation, self._clock.now()
        delay: timedelta = self._delay(operation.attempts, error)
        cause = ErrorResponse.of(error)
        last = operation.attempts + 1 >= self._limits.attempts or now + delay > operation.deadline
        _logger.warning("operation %s: step %s failed: %s %s", operation.id, operation.step, error.code, error.message)
        if error.retryable and not last:
            known = operation.cause if operation.step == UNDO and operation.cause else cause
            await self._commit(account, held, operation.retrying(known, now + delay), ())
            await self._wake(account, operation, delay)
        elif operation.step == UNDO:
            await self._end_failed(account, held, operation.cause or cause)
        else:
            await self._commit(account, held, operation.undoing(UNDO, cause, now, now + self._limits.to_undo), ())
            await self._wake(account, operation, timedelta(0))

    def _delay(self, attempts: int, error: ServiceError) -> timedelta:
        """Doubling from the first delay to the longest, up to half of it by chance; never less than was asked for."""
        longest = min(self._limits.first_delay * (1 << attempts), self._limits.longest_delay)
        chance = self._clock.random_bits(16) / 0xFFFF
        return max(longest * (0.5 + chance / 2), timedelta(seconds=error.retry_after or 0))

    async def _record_bug(self, account: Account, held: _Held, bug: Exception) -> None:
        """So that the poison queue's function can close the operation with it; a better cause is kept."""
        unexplained = ErrorResponse.of(ServiceError(f"A step broke ({type(bug).__name__}); the log says where."))
        cause = held.operation.cause or unexplained
        await self._commit(account, held, held.operation.retrying(cause, self._clock.now()), ())

    async def _end_failed(self, account: Account, held: _Held, error: ErrorResponse) -> None:
        operation = held.operation
        failure = await self._workflows[operation.workflow].failed(account, operation, error)
        ended = operation.ended(State.FAILED, self._clock.now(), failure.error)
        await self._commit(account, held, ended, failure.changes)

    async def _wake(self, account: Account, operation: Operation, delay: timedelta) -> None:
        try:
            await self._wake_ups.wake(account, operation.id, delay)
        except ServiceError as error:
            _logger.warning("operation %s: not woken, the sweep will: %s", operation.id, error.message)
