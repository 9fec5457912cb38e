"""A held operation: leased by this worker, as it was last written, and kept so while a step works.

The lease is judged by one clock only, the store's: it holds for some seconds since the row was written. The holder counts
from before it sent that write, on a clock that nobody sets, and stops itself well before the others may take over.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.accounts import Account
from shared.domain.documents import Change, Renew, Replace, Stored
from shared.domain.errors import Conflict, PreconditionFailed, ServiceError, Unavailable
from shared.domain.fencing import LeaseLost, fenced
from shared.domain.operations import Lease, Operation
from shared.domain.ports import Clock, Store

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeaseTerms:
    """How long a lease lasts unrenewed, how often it is renewed, and how long before its end the holder stops."""

    lasts: timedelta = timedelta(seconds=20)
    renewed_every: timedelta = timedelta(seconds=5)
    margin: timedelta = timedelta(seconds=5)


class CancelRequested(Exception):
    """The operation in hand is to be given up; the lease still holds."""


class Ended(LeaseLost):
    """It was ended with its resource, or closed: whoever goes on waits until this worker lets go of it."""


class ChangedMeanwhile(Unavailable):
    """What the step decided on is no longer so; the step must be run again."""


def is_leased(stored: Stored[Operation]) -> bool:
    """Whether a worker may still be at work on it."""
    lease = stored.document.lease
    return lease is not None and stored.age < timedelta(seconds=lease.seconds)


def is_being_undone(stored: Stored[Operation]) -> bool:
    """Whether a worker takes back what it did, or is still to begin with that."""
    operation = stored.document
    return operation.undoing and (is_leased(stored) or operation.steps[-1].attempts == 0)


class Hold:
    """An operation under this worker's lease. Every commit goes through here, by the tag of the last one."""

    def __init__(
        self, store: Store, clock: Clock, account: Account, stored: Stored[Operation], *, owner: str, terms: LeaseTerms
    ) -> None:
        self._store = store
        self._clock = clock
        self._account = account
        self._stored = stored
        self._terms = terms
        self._sure_until = 0.0
        self.lease = Lease(owner=owner, seconds=terms.lasts.total_seconds())

    @property
    def operation(self) -> Operation:
        """It, as it was last written."""
        return self._stored.document

    async def take(self) -> None:
        """Lease it; raises PreconditionFailed when another worker was first."""
        before, leased = self._stored.document, self._stored.document.leased(self.lease, self._clock.now())
        # The first lease makes it Running, which lists show; any other changes nothing that anybody looks for.
        change = Renew(self._stored, leased) if before.state is leased.state else Replace(self._stored, leased)
        await self._write(leased, [change])

    def check(self) -> None:
        """Raises LeaseLost when another worker may have it by now."""
        if self._clock.monotonic() >= self._sure_until:
            raise LeaseLost("The lease was not renewed in time.")

    async def work[T](self, step: Coroutine[None, None, T]) -> T:
        """What the step comes to, the lease renewed all the while.

        Raises LeaseLost and CancelRequested, the step having been stopped. A thread that it began cannot be: its fence
        is closed.
        """
        finished = asyncio.Event()

        def check() -> None:
            if finished.is_set():
                raise LeaseLost("The step was stopped.")
            self.check()

        with fenced(check):
            working = asyncio.create_task(step)
        renewing = asyncio.create_task(self._renew(finished))
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
            finished.set()
            if not working.done():
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
            await renewing
            return working.result()
        finally:
            finished.set()
            working.cancel()
            renewing.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)

    async def commit(self, operation: Operation, changes: Sequence[Change] = ()) -> None:
        """Write it with those changes, or nothing.

        Raises LeaseLost, CancelRequested, and ChangedMeanwhile when one of the other documents has changed.
        """
        while True:
            try:
                await self._write(operation, [Replace(self._stored, operation), *changes])
            except PreconditionFailed:
                await self._look_again()
                continue
            return

    async def let_go(self) -> None:
        """Say that this worker has stopped working on what others have ended."""
        released = self.operation.released()
        await self._write(released, [Renew(self._stored, released)])

    async def give_back(self) -> None:
        """Let another worker have it at once."""
        await self.commit(self.operation.released())

    async def _renew(self, finished: asyncio.Event) -> None:
        """Returns when the work has finished."""
        while True:
            try:
                async with asyncio.timeout(self._terms.renewed_every.total_seconds()):
                    await finished.wait()
                return
            except TimeoutError:
                await self._renew_once()

    async def _renew_once(self) -> None:
        try:
            await self._write(self.operation, [Renew(self._stored, self.operation)])
        except PreconditionFailed:
            await self._look_again(renewing=True)
        except ServiceError as error:
            _logger.warning("operation %s: lease not renewed: %s", self.operation.id, error.message)
            self.check()

    async def _write(self, operation: Operation, changes: Sequence[Change]) -> None:
        asked = self._clock.monotonic()
        try:
            (written, *_) = await self._store.commit(self._account, changes)
        except Conflict as conflict:
            raise ChangedMeanwhile(f"The store refused the change: {conflict.message}") from conflict
        self._stored = Stored(operation, written.etag)
        self._sure_until = asked + (self._terms.lasts - self._terms.margin).total_seconds()

    async def _look_again(self, *, renewing: bool = False) -> None:
        """Somebody wrote it, or what is written with it: returns when it was ourselves, the answer having been lost."""
        current = await self._store.get(self._account, Operation, self.operation.id)
        if current is None or current.document.lease != self.lease:
            raise LeaseLost("Another worker has it, or has ended it.")
        if current.etag == self._stored.etag and not renewing:
            raise ChangedMeanwhile("The resource was changed meanwhile.")
        before = self.operation
        self._stored = Stored(current.document, current.etag)
        if current.document.state.terminal or (current.document.undoing and not before.undoing):
            raise Ended("It was ended with its resource, or closed.")
        if current.document.cancel_requested and not before.cancel_requested:
            raise CancelRequested
