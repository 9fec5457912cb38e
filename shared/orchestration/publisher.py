"""The publisher: takes events out of an account's outbox and sends them, in the order of their resource.

One publisher of a kind works on an account at a time, by a lease. An event leaves the outbox when it has been sent: sent
at least once, and again when the publisher died in between.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import ClassVar

from shared.domain.accounts import Account
from shared.domain.documents import Change, Discard, Document, Insert, Replace, Stored
from shared.domain.errors import Conflict, PreconditionFailed, ServiceError
from shared.domain.events import Event
from shared.domain.operations import Lease
from shared.domain.ports import Clock, EventSink, Store
from shared.domain.wire import Timestamp

_logger = logging.getLogger(__name__)

_PAGE = 100
_LEASE = timedelta(seconds=60)
_MARGIN = timedelta(seconds=15)
_FIRST_PAUSE = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(minutes=5)


class Outbox(Document):
    """Who publishes the events of one kind now, and when a sink that failed is tried again."""

    kind: ClassVar[str] = "outbox"

    lease: Lease | None = None
    failures: int = 0
    not_before: Timestamp | None = None


@dataclass(frozen=True)
class _Turn:
    """One publisher's turn, for as long as its lease surely holds."""

    stored: Stored[Outbox]
    until: float


class Publisher:
    """Publishes the events of one kind to one sink. What cannot be sent for `kept` goes to `rejected` instead."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        kind: type[Event],
        sink: EventSink,
        rejected: EventSink,
        *,
        owner: str,
        kept: timedelta = timedelta(days=3),
    ) -> None:
        self._store = store
        self._clock = clock
        self._kind = kind
        self._sink = sink
        self._rejected = rejected
        self._owner = owner
        self._kept = kept

    async def waiting(self, account: Account) -> bool:
        """Whether there is something to publish."""
        return bool((await self._store.page(account, self._kind, {}, count=1)).items)

    async def publish(self, account: Account) -> None:
        """Send all there is, unless another publisher is at it or the sink needs a pause."""
        while await self.waiting(account):
            turn = await self._begin(account)
            if turn is None:
                return
            failed = True
            try:
                failed = await self._publish(account, turn)
            finally:
                await self._end(account, turn, failed=failed)
            if failed:
                return

    async def _begin(self, account: Account) -> _Turn | None:
        asked, lease = self._clock.monotonic(), Lease(owner=self._owner, seconds=_LEASE.total_seconds())
        stored = await self._store.get(account, Outbox, self._kind.outbox)
        if stored is not None and _busy(stored, self._clock.now()):
            return None
        outbox = (stored.document if stored else Outbox(id=self._kind.outbox)).but(lease=lease)
        try:
            (mine, *_) = await self._store.commit(account, [Replace(stored, outbox) if stored else Insert(outbox)])
        except (Conflict, PreconditionFailed):
            return None
        return _Turn(Stored(outbox, mine.etag), asked + (_LEASE - _MARGIN).total_seconds())

    async def _end(self, account: Account, turn: _Turn, *, failed: bool) -> None:
        before = turn.stored.document
        failures = before.failures + 1 if failed else 0
        pause = min(_FIRST_PAUSE * (1 << min(failures, 16)), _LONGEST_PAUSE)
        not_before = self._clock.now() + pause if failed else None
        try:
            ended = before.but(lease=None, failures=failures, not_before=not_before)
            await self._store.commit(account, [Replace(turn.stored, ended)])
        except ServiceError as error:
            _logger.warning("outbox of %s: the lease runs out by itself: %s", account.name, error.message)

    async def _publish(self, account: Account, turn: _Turn) -> bool:
        """Go through the outbox once; whether anything could not be sent."""
        kept_back, after = set[str](), None
        while self._clock.monotonic() < turn.until:
            page = await self._store.page(account, self._kind, {}, count=_PAGE, after=after)
            waiting = (event for event in page.items if event.subject not in kept_back)
            resources = [list(events) for _, events in groupby(waiting, key=lambda event: event.subject)]
            sent = await asyncio.gather(*(self._send(turn, events) for events in resources))
            done: list[Change] = [Discard(event) for events in sent for event in events]
            if done:
                await self._store.commit(account, done)
            if self._clock.monotonic() < turn.until:
                each = zip(resources, sent, strict=True)
                kept_back |= {events[0].subject for events, gone in each if len(gone) < len(events)}
            after = page.after
            if after is None or (len(resources) > 1 and not done):  # several, and none could be sent: the sink is away
                break
        return bool(kept_back)

    async def _send(self, turn: _Turn, events: Sequence[Event]) -> list[Event]:
        """Send those of one resource in order; those that were sent. The first that fails keeps back the others."""
        sent: list[Event] = []
        for event in events:
            if self._clock.monotonic() >= turn.until:
                break
            try:
                await self._deliver(event)
            except ServiceError as error:
                _logger.warning("event %s of %s is not sent yet: %s", event.id, event.subject, error.message)
                break
            sent.append(event)
        return sent

    async def _deliver(self, event: Event) -> None:
        try:
            await self._sink.send(event)
        except ServiceError:
            if self._clock.now() - event.time < self._kept:
                raise
            _logger.error("event %s of %s could not be sent in time, and goes to the poison queue", event.id, event.subject)
            await self._rejected.send(event)


def _busy(stored: Stored[Outbox], now: datetime) -> bool:
    outbox = stored.document
    leased = outbox.lease is not None and stored.age < timedelta(seconds=outbox.lease.seconds)
    return leased or (outbox.not_before is not None and outbox.not_before > now)
