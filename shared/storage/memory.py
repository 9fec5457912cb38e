"""In-memory twins of the storage ports: the same promises, kept by dictionaries. They pass the same contract tests."""

import heapq
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from shared.domain.accounts import Account
from shared.domain.computing import ReplicaLog
from shared.domain.documents import (
    Change,
    Claim,
    Discard,
    Document,
    Held,
    Insert,
    Page,
    Reclaim,
    Release,
    Remove,
    Renew,
    Replace,
    Stored,
    Touch,
)
from shared.domain.errors import PreconditionFailed, Taken, Unavailable, foreign
from shared.domain.fencing import check_fence
from shared.domain.operations import Operation
from shared.domain.ports import BuildLog, Clock, Incoming, KeptBlob
from shared.storage.rows import rows_of

type _Key = tuple[str, str, str]


class MemoryStore:
    """Twin of the table store. Lists show the documents as they are, renewals too; `clock` is the store's own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[_Key, tuple[Document | str, str]] = {}
        self._written: dict[_Key, datetime] = {}
        self._etags = itertools.count(1)

    async def get[D: Document](self, account: Account, kind: type[D], identifier: str) -> Stored[D] | None:
        """The document of that id, or None."""
        key = (account.scope, kind.kind, identifier)
        found = self._rows.get(key)
        if found is None or not isinstance(found[0], kind):
            return None
        return Stored(found[0], found[1], self._clock.now() - self._written[key])

    async def page[D: Document](
        self, account: Account, kind: type[D], filters: Mapping[str, str], *, count: int, after: str | None = None
    ) -> Page[D]:
        """Up to `count` documents that fit all filters, newest first, from behind the id `after`."""
        mine = (
            row for key, (row, _) in self._rows.items() if key[:2] == (account.scope, kind.kind) and isinstance(row, kind)
        )
        fitting = [row for row in mine if _fits(row, filters) and (after is None or row.id < after)]
        fitting.sort(key=lambda document: document.id, reverse=True)
        items = tuple(fitting[:count])
        return Page(items, items[-1].id if len(fitting) > count else None)

    async def held(self, account: Account, key: str) -> Held | None:
        """The claim of that key, or None when it is free."""
        found = self._rows.get((account.scope, _CLAIM, key))
        return Held(key, str(found[0]), found[1]) if found else None

    async def commit(self, account: Account, changes: Sequence[Change]) -> Sequence[Stored[Document]]:
        """All of the changes, or none."""
        rows_of(changes)  # raises TooLarge, by the limits of the real one
        check_fence()
        for change in changes:
            self._check(account, change)
        written = [self._apply(account, change) for change in changes]
        return [stored for stored in written if stored]

    def _check(self, account: Account, change: Change) -> None:
        match change:
            case Insert(document):
                self._absent((account.scope, document.kind, document.id))
            case Claim(key, _):
                self._absent((account.scope, _CLAIM, key))
            case Reclaim(held, _):
                found = self._rows.get((account.scope, _CLAIM, held.key))
                if not found or found[1] != held.etag:
                    raise Taken(f"The claim {held.key} has changed.", held.key)
            case Replace(old, _) | Renew(old, _) | Remove(old):
                found = self._rows.get((account.scope, old.document.kind, old.document.id))
                if not found or found[1] != old.etag:
                    raise PreconditionFailed(f"{old.document.kind} {old.document.id} has changed.")
            case Touch(Stored(document=document)) | Discard(document):
                if (account.scope, document.kind, document.id) not in self._rows:
                    raise PreconditionFailed(f"{document.kind} {document.id} is gone.")

    def _absent(self, key: _Key) -> None:
        if key in self._rows:
            raise Taken(f"{key[1]} {key[2]} is taken.", key[2])

    def _apply(self, account: Account, change: Change) -> Stored[Document] | None:
        match change:
            case Insert(document) | Replace(_, document) | Renew(_, document):
                return self._write((account.scope, document.kind, document.id), document)
            case Claim(key, value):
                self._write((account.scope, _CLAIM, key), value)
            case Reclaim(held, value):
                self._write((account.scope, _CLAIM, held.key), value)
            case Remove(Stored(document=document)) | Discard(document):
                del self._rows[account.scope, document.kind, document.id]
            case Touch(old):
                row = (account.scope, old.document.kind, old.document.id)
                self._write(row, self._rows[row][0])
            case Release(key):
                self._rows.pop((account.scope, _CLAIM, key), None)
        return None

    def _write(self, key: _Key, row: Document | str) -> Stored[Document] | None:
        etag = str(next(self._etags))
        self._rows[key] = (row, etag)
        self._written[key] = self._clock.now()
        return Stored(row, etag) if isinstance(row, Document) else None


_CLAIM = "claim"


def _fits(document: Document, filters: Mapping[str, str]) -> bool:
    terms = list(document.terms())
    return all({name: value} in terms for name, value in filters.items())


class MemoryWakeUps:
    """Twin of the wake-up queue: `pop` gives the next one, by the time it is due."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[tuple[datetime, int, Account, str]] = []
        self._order = itertools.count()

    async def wake(self, account: Account, operation: Operation, delay: timedelta = timedelta(0)) -> None:
        """Have that operation looked at, no sooner than after `delay`."""
        heapq.heappush(self._waiting, (self._clock.now() + delay, next(self._order), account, operation.id))

    def pop(self) -> tuple[datetime, Account, str] | None:
        """The next wake-up: when it is due, and for what."""
        if not self._waiting:
            return None
        due, _, account, operation_id = heapq.heappop(self._waiting)
        return due, account, operation_id

    def duplicate(self) -> None:
        """Deliver the next wake-up twice, as a queue may."""
        if self._waiting:
            due, _, account, operation_id = self._waiting[0]
            heapq.heappush(self._waiting, (due, next(self._order), account, operation_id))


class _MemoryBuildLog:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def line(self, text: str) -> None:
        self._lines.append(foreign(text, 2000))


class MemoryBuildLogs:
    """Twin of the build logs."""

    def __init__(self) -> None:
        self._logs: defaultdict[str, list[str]] = defaultdict(list)

    @asynccontextmanager
    async def writing(self, account: Account, image_id: str) -> AsyncIterator[BuildLog]:
        """That image's log, to add to."""
        yield _MemoryBuildLog(self._logs[f"{account.scope}/{image_id}"])

    async def address(self, account: Account, image_id: str) -> str:
        """A URL that reads the log."""
        return f"memory://build-logs/{account.scope}/{image_id}.log?sig=twin"

    async def read(self, account: Account, image_id: str) -> str:
        """What the log says so far, each line with its end."""
        return "".join(f"{line}\n" for line in self._logs[f"{account.scope}/{image_id}"])

    def text(self, account: Account, image_id: str) -> str:
        """What the log says so far."""
        return "\n".join(self._logs[f"{account.scope}/{image_id}"])


class MemoryServiceLogs:
    """Twin of the logs of replicas that are gone."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Sequence[ReplicaLog]] = {}

    async def keep(self, account: Account, service_id: str, logs: Sequence[ReplicaLog]) -> None:
        """Keep those in the place of what was kept for that service."""
        self._kept[account.scope, service_id] = tuple(logs)

    async def kept(self, account: Account, service_id: str) -> Sequence[ReplicaLog]:
        """What is kept for it."""
        return self._kept.get((account.scope, service_id), ())

    async def remove(self, account: Account, service_id: str) -> None:
        """Nothing is kept for it any more."""
        self._kept.pop((account.scope, service_id), None)


class MemoryKeep:
    """Twin of the keep."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[bytes, datetime]] = {}

    async def get(self, name: str) -> bytes | None:
        """Something small, or None."""
        return self._kept[name][0] if name in self._kept else None

    async def put(self, name: str, content: bytes) -> None:
        """Keep something small, in the place of what was kept under that name."""
        self._kept[name] = (content, self._clock.now())

    async def size(self, name: str) -> int | None:
        """How large it is, None when it is not there."""
        return len(self._kept[name][0]) if name in self._kept else None

    async def read(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Its bytes from `start` on."""
        if name not in self._kept:
            raise Unavailable(f"{name} is not kept any more.", code="NotKept")
        yield self._kept[name][0][start:][:length]

    @asynccontextmanager
    async def incoming(self) -> AsyncIterator[Incoming]:
        """Something large, whose name is not known before its end."""
        yield _MemoryIncoming(self)

    async def names(self, prefix: str) -> AsyncIterator[KeptBlob]:
        """All that is kept under names that begin so."""
        for name, (content, used) in sorted(self._kept.items()):
            if name.startswith(prefix):
                yield KeptBlob(name, len(content), used)

    async def remove(self, name: str, *, unless_used_since: datetime | None = None) -> None:
        """It is not kept any more, unless it was put or kept again since then."""
        _, used = self._kept.get(name, (b"", self._clock.now()))
        if unless_used_since is None or used < unless_used_since:
            self._kept.pop(name, None)


class _MemoryIncoming:
    def __init__(self, keep: MemoryKeep) -> None:
        self._keep = keep
        self._content = bytearray()

    async def write(self, chunk: bytes) -> None:
        self._content += chunk

    async def keep_as(self, name: str) -> None:
        before = await self._keep.get(name)
        await self._keep.put(name, bytes(self._content) if before is None else before)
