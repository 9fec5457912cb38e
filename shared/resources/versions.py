"""Versions: 1, 2, 3… per name, decided by who claims one first; a claim outlives what was registered under it."""

from collections.abc import Callable, Sequence

from shared.domain.accounts import Account
from shared.domain.documents import Change, Claim, Document
from shared.domain.errors import Conflict
from shared.domain.ports import Store

_HIGHEST = 999_999_999


def _prefix(kind: str, name: str) -> str:
    return f"{kind}-version:{name}:"


async def commit_next_version[D: Document](
    store: Store, account: Account, kind: type[D], name: str, changes: Callable[[int], Sequence[Change]], *, holder: str
) -> int:
    """Commit the changes under the next version of that name, and return it; no gap, no double.

    A version is claimed in the same transaction, under a key that counts down: the first claim is the highest
    version. Whoever loses a claim tries the next version.
    """
    prefix = _prefix(kind.kind, name)
    latest = await store.claimed(account, prefix)
    version = 1 + (_HIGHEST - int(latest[0].removeprefix(prefix)) if latest else 0)
    while True:
        claim = Claim(f"{prefix}{_HIGHEST - version:09d}", holder)
        try:
            await store.commit(account, [claim, *changes(version)])
        except Conflict:
            version += 1
        else:
            return version
