"""The ports: what use cases and workflows need from outside, and what they may rely on. Adapters fill them."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from shared.domain.accounts import Account
from shared.domain.documents import Change, Document, Held, Page, Stored
from shared.domain.events import Event
from shared.domain.operations import Operation
from shared.domain.tracing import trace_parent


class Clock(Protocol):
    """Time and chance, from outside."""

    def now(self) -> datetime:
        """This moment, in UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that nobody sets, from any moment."""

    def random_bits(self, count: int) -> int:
        """That many random bits."""


class Telemetry(Protocol):
    """Traces and metrics. Nothing that happens here fails or delays the work."""

    def span(
        self, name: str, parent: str | None, attributes: Mapping[str, str] | None = None
    ) -> AbstractContextManager[None]:
        """What happens in the context is one span, below the current one, else below the `traceparent` given."""

    def count(self, name: str, attributes: Mapping[str, str] | None = None) -> None:
        """One more."""

    def measure(self, name: str, value: float, attributes: Mapping[str, str] | None = None) -> None:
        """One measurement."""


class _NoTelemetry:
    """Nobody looks; the trace of the caller is carried on even so."""

    @contextmanager
    def span(self, name: str, parent: str | None, attributes: Mapping[str, str] | None = None) -> Iterator[None]:
        token = trace_parent.set(trace_parent.get() or parent)
        try:
            yield
        finally:
            trace_parent.reset(token)

    def count(self, name: str, attributes: Mapping[str, str] | None = None) -> None:
        """Not counted."""

    def measure(self, name: str, value: float, attributes: Mapping[str, str] | None = None) -> None:
        """Not measured."""


NO_TELEMETRY = _NoTelemetry()


class Store(Protocol):
    """Documents of an account. What is committed together is there together, or not at all."""

    async def get[D: Document](self, account: Account, kind: type[D], identifier: str) -> Stored[D] | None:
        """The document of that id, or None."""

    async def page[D: Document](
        self, account: Account, kind: type[D], filters: Mapping[str, str], *, count: int, after: str | None = None
    ) -> Page[D]:
        """Up to `count` documents that fit all filters, newest first, from behind the id `after`.

        Costs what it returns, whatever else the account holds.
        """

    async def held(self, account: Account, key: str) -> Held | None:
        """The claim of that key, or None when it is free."""

    async def commit(self, account: Account, changes: Sequence[Change]) -> Sequence[Stored[Document]]:
        """All of the changes, or none. Returns the documents inserted and replaced, in order, as they are stored now.

        Raises Conflict when an id or a claim is taken or a claim has changed, PreconditionFailed when a document has
        changed since it was read, TooLarge when they do not fit one transaction, Unavailable when the store is away, and
        LeaseLost before it does anything for a step whose lease is over.
        """


class WakeUps(Protocol):
    """Wake-ups say that there is something to look at. They may be lost, doubled or late: the store is the truth."""

    async def wake(self, account: Account, operation: Operation, delay: timedelta = timedelta(0)) -> None:
        """Have that operation looked at, no sooner than after `delay`; its trace goes along. Raises Unavailable."""


class EventSink(Protocol):
    """Where events go."""

    async def send(self, event: Event) -> None:
        """Send it; when this returns it has arrived. Raises Unavailable when it has not, or may not have."""


class BuildLog(Protocol):
    """A log for people, readable while it grows."""

    def line(self, text: str) -> None:
        """Add a line, from any thread; it can be read within seconds. Holds no signed URL: what is added is cleaned."""


class BuildLogs(Protocol):
    """The logs of image builds."""

    def writing(self, account: Account, image_id: str) -> AbstractAsyncContextManager[BuildLog]:
        """That image's log, to add to; all lines are stored when the context ends."""

    async def address(self, account: Account, image_id: str) -> str:
        """A URL that reads the log, good for a day from now."""

    async def read(self, account: Account, image_id: str) -> str:
        """What it says so far, its last 8 MiB when it is longer; empty when there is none. Raises Unavailable."""


@dataclass(frozen=True)
class KeptBlob:
    """Something that is kept, and when it was put there or last used."""

    name: str
    size: int
    used: datetime


class Incoming(Protocol):
    """Something on its way into the keep."""

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes."""

    async def keep_as(self, name: str) -> None:
        """All that was written is kept under that name; when something is already, that stays, and counts as used now."""


class Keep(Protocol):
    """Bytes of the operator's own, by name: whole, or not there. Raises Unavailable when it is away."""

    async def get(self, name: str) -> bytes | None:
        """Something small, or None."""

    async def put(self, name: str, content: bytes) -> None:
        """Keep something small, in the place of what was kept under that name."""

    async def size(self, name: str) -> int | None:
        """How large it is, None when it is not there."""

    def read(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Its bytes from `start` on. Raises Unavailable when it is not there."""

    def incoming(self) -> AbstractAsyncContextManager[Incoming]:
        """Something large, whose name is not known before its end; what was given no name by then is not kept."""

    def names(self, prefix: str) -> AsyncIterator[KeptBlob]:
        """All that is kept under names that begin so."""

    async def remove(self, name: str, *, unless_used_since: datetime | None = None) -> None:
        """It is not kept any more, unless it was put or kept again since then; harmless when it was not kept."""


@dataclass(frozen=True)
class Needed:
    """What must not be removed, and how old the rest must be: what is being built is not listed yet."""

    images: Mapping[Account, frozenset[str]]
    """The listed images, as `name:version`."""
    image_ids: frozenset[tuple[Account, str]]
    contents: frozenset[str]
    """The digests of what models and manifests hold, and of what was decided for them."""
    settled_before: datetime
    layers_used_since: datetime
    logs_since: datetime


@dataclass(frozen=True)
class Unneeded:
    """Something that nobody needs any more: what it is, where it is, and how large."""

    kind: str
    name: str
    size: int


class Collector(Protocol):
    """Finds what nobody needs any more in one kind of place, and removes it."""

    def unneeded(self, needed: Needed) -> AsyncIterator[Unneeded]:
        """All of it. Raises Unavailable."""

    async def remove(self, one: Unneeded, needed: Needed) -> None:
        """Remove it, unless it has been used meanwhile; harmless when it has gone."""
