"""Retention: what has ended long ago is removed, in pages."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import batched

from shared.domain.accounts import Account
from shared.domain.documents import Change, Discard, Document, Release
from shared.domain.errors import PreconditionFailed
from shared.domain.ids import first_id
from shared.domain.operations import Operation
from shared.domain.ports import Clock, Store
from shared.resources.repeatability import KEPT, RecordedRequest, claim_of

_PAGE = 200
_AT_ONCE = 20
"""Documents a transaction: each is up to four rows, and a transaction holds a hundred."""


class Retention:
    """Removes the operations that ended longer ago than `operations`, and requests that will not come again."""

    def __init__(self, store: Store, clock: Clock, *, operations: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._operations = operations

    async def remove(self, account: Account) -> int:
        """Remove what is due; returns how many."""
        now = self._clock.now()
        long_ago = now - self._operations

        def ended(operation: Operation) -> list[Change]:
            due = operation.end_time is not None and operation.end_time < long_ago
            return [Discard(operation)] if due else []

        def expired(request: RecordedRequest) -> list[Change]:
            return [Discard(request), Release(claim_of(request.key))] if request.expires < now else []

        removed = await asyncio.gather(
            self._remove(account, Operation, long_ago, ended),
            self._remove(account, RecordedRequest, now - KEPT, expired),
        )
        return sum(removed)

    async def _remove[D: Document](
        self, account: Account, kind: type[D], created_before: datetime, changes_for: Callable[[D], list[Change]]
    ) -> int:
        removed, after = 0, first_id(created_before)
        while True:
            page = await self._store.page(account, kind, {}, count=_PAGE, after=after)
            due = [changes for document in page.items if (changes := changes_for(document))]
            for some in batched(due, _AT_ONCE, strict=False):
                removed += await self._commit(account, some)
            if page.after is None:
                return removed
            after = page.after

    async def _commit(self, account: Account, some: tuple[list[Change], ...]) -> int:
        try:
            await self._store.commit(account, [change for changes in some for change in changes])
        except PreconditionFailed:
            return 0  # another run was faster; what is left is due again at the next one
        return len(some)
