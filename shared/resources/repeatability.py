"""Requests that may be sent again: what came of the first is recorded in its own transaction, and is the answer to all.

Source: OASIS Repeatable Requests 1.0.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from shared.domain.accounts import Account
from shared.domain.documents import Change, Claim, Document, Insert
from shared.domain.errors import InvalidRequest, ServiceError
from shared.domain.ids import new_id
from shared.domain.ports import Clock, Store
from shared.domain.wire import Timestamp

MISMATCH = "RepeatabilityMismatch"
KEPT = timedelta(hours=24)
"""How long a request that came by HTTP may come again."""


def claim_of(key: str) -> str:
    """What makes the request of that key unique in the store."""
    return f"request:{key}"


@dataclass(frozen=True)
class Repeatable:
    """A request that may come again: the key that tells it is the same, what it asks for, how long that is remembered."""

    key: str
    fingerprint: str
    kept: timedelta = KEPT


class RecordedRequest(Document):
    """A request that was carried out, and the document that its answer is made of."""

    kind: ClassVar[str] = "request"

    key: str
    fingerprint: str
    result: str
    expires: Timestamp


@dataclass(frozen=True)
class Once:
    """What a use case adds to its transaction, so that it happens once."""

    request: Repeatable | None
    identifier: str = ""
    now: datetime | None = None

    def recording(self, result: Document) -> Sequence[Change]:
        """The changes that record the result; to come first, so that a repetition is told from any other conflict."""
        if self.request is None or self.now is None:
            return ()
        record = RecordedRequest(
            id=self.identifier,
            key=self.request.key,
            fingerprint=self.request.fingerprint,
            result=result.stored_text(),
            expires=self.now + self.request.kept,
        )
        return (Claim(claim_of(self.request.key), record.id), Insert(record))


UNREPEATED = Once(None)


class NoContent(Document):
    """The result of a request that has none to show."""

    kind: ClassVar[str] = "no-content"

    id: str = ""


NO_CONTENT = NoContent()


async def remember(store: Store, account: Account, once: Once, result: Document) -> None:
    """Record a request that changes nothing, so that its id is taken; raises Taken when that is another's already."""
    changes = once.recording(result)
    if changes:
        await store.commit(account, changes)


class Requests:
    """The requests of an account that were carried out and may come again."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def once[D: Document](
        self, account: Account, request: Repeatable | None, kind: type[D], act: Callable[[Once], Awaitable[D]]
    ) -> D:
        """What came of the request when it was first carried out, which may be now.

        Raises what `act` raises, and InvalidRequest when the key belongs to another request.
        """
        if request is None:
            return await act(UNREPEATED)
        recorded = await self.recorded(account, request, kind)
        if recorded is not None:
            return recorded
        now = self._clock.now()
        try:
            return await act(Once(request, new_id(now, self._clock.random_bits), now))
        except ServiceError:
            recorded = await self.recorded(account, request, kind)
            if recorded is None:
                raise
            return recorded

    async def recorded[D: Document](self, account: Account, request: Repeatable, kind: type[D]) -> D | None:
        """What came of the request, None when it was never carried out; raises InvalidRequest as `once` does."""
        held = await self._store.held(account, claim_of(request.key))
        stored = await self._store.get(account, RecordedRequest, held.value) if held else None
        if stored is None:
            return None
        if stored.document.fingerprint != request.fingerprint:
            raise InvalidRequest(
                "The request's id belongs to another request; accepts the same request again, or a new id.",
                code=MISMATCH,
            )
        return kind.from_stored(stored.document.result)
