"""The outbox: a store that adds to each change the events that tell of it, in the same transaction."""

from collections.abc import Callable, Mapping, Sequence

from shared.domain.accounts import Account
from shared.domain.documents import Change, Document, Held, Page, Stored
from shared.domain.events import Event, events_of
from shared.domain.ports import Clock, Store
from shared.domain.tracing import trace_parent


class AnnouncingStore:
    """The port Store over another one. `announced` is told whose outbox has got something; it must not fail."""

    def __init__(
        self, store: Store, clock: Clock, kinds: Sequence[type[Event]], announced: Callable[[Account], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._kinds = kinds
        self._announced = announced

    async def get[D: Document](self, account: Account, kind: type[D], identifier: str) -> Stored[D] | None:
        """The document of that id, or None."""
        return await self._store.get(account, kind, identifier)

    async def page[D: Document](
        self, account: Account, kind: type[D], filters: Mapping[str, str], *, count: int, after: str | None = None
    ) -> Page[D]:
        """Up to `count` documents that fit all filters, newest first, from behind the id `after`."""
        return await self._store.page(account, kind, filters, count=count, after=after)

    async def held(self, account: Account, key: str) -> Held | None:
        """The claim of that key, or None when it is free."""
        return await self._store.held(account, key)

    async def commit(self, account: Account, changes: Sequence[Change]) -> Sequence[Stored[Document]]:
        """All of the changes and their events, or none; returns the documents of the changes alone."""
        events = events_of(account, changes, self._kinds, self._clock.now(), trace_parent.get())
        stored = await self._store.commit(account, [*changes, *events])
        if events:
            self._announced(account)
        return stored[: len(stored) - len(events)]
