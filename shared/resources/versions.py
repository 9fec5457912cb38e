"""Versions: 1, 2, 3… per name; the last one given is a claim of its own, which outlives what was registered under it."""

import asyncio
from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

from shared.domain.accounts import Account
from shared.domain.documents import Change, Claim, Document, Held, Reclaim
from shared.domain.errors import Taken
from shared.domain.ports import Store

_turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


async def latest_version(store: Store, account: Account, kind: type[Document], name: str) -> Held | None:
    """The claim that says which version of that name was given last."""
    return await store.held(account, _claim(kind, name))


def skip_to(latest: Held | None, kind: type[Document], name: str, version: int) -> Change:
    """The claim moves on to that version; fails with Conflict when it has moved meanwhile."""
    return Reclaim(latest, str(version)) if latest else Claim(_claim(kind, name), str(version))


async def commit_next_version[D: Document](
    store: Store, account: Account, kind: type[D], name: str, changes: Callable[[int], Sequence[Change]]
) -> int:
    """Commit the changes under the next version of that name, and return it; no gap, no double.

    The claim moves on in the same transaction as the changes, so of two writers one loses, and looks again. Writers of
    one process take turns, since only one of them could win. Raises Taken for any other claim among the changes.
    """
    key = _claim(kind, name)
    turn = _turns.setdefault(f"{account.scope}/{key}", asyncio.Lock())
    async with turn:
        while True:
            latest = await latest_version(store, account, kind, name)
            version = 1 + (int(latest.value) if latest else 0)
            step = skip_to(latest, kind, name, version)
            try:
                await store.commit(account, [step, *changes(version)])
            except Taken as taken:
                if taken.key != key:
                    raise
                continue
            return version


def _claim(kind: type[Document], name: str) -> str:
    return f"latest-version:{kind.kind}:{name}"
