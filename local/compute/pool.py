"""The request slots of a service: who gets the next free one, who waits, and who is sent away."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from yarl import URL

from local.compute.autoscaler import MeanLoad
from shared.domain.errors import Unavailable

_RETRY_AFTER = 1.0


class Backend:
    """Where one healthy replica listens, and how many requests it works on; `revision` is its deployment's id.

    It answers nobody who does not send its `credential`.
    """

    def __init__(self, url: URL, slots: int, revision: str = "", credential: str = "") -> None:
        self.url = url
        self.revision = revision
        self.credential = credential
        self._slots = slots
        self._busy = 0
        self._turn = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended = asyncio.Event()

    @property
    def busy(self) -> int:
        """Slots in use."""
        return self._busy

    @property
    def rank(self) -> tuple[int, int]:
        """The least busy backend comes first; of equals, the one whose last turn is longest ago."""
        return self._busy, self._turn

    @property
    def free(self) -> bool:
        """Whether it may be given one more request."""
        return self._busy < self._slots

    def take(self, turn: int) -> None:
        """Use one more slot; turns are numbered upwards."""
        self._busy += 1
        self._turn = turn
        self._idle.clear()

    def give_back(self) -> None:
        """One slot is free again."""
        self._busy -= 1
        if not self._busy:
            self._idle.set()

    async def idle(self, within: float) -> bool:
        """Wait until no slot is in use; false when that takes longer than `within` seconds."""
        return await _happens(self._idle, within)

    def end(self) -> None:
        """The replica has ended."""
        self._ended.set()

    async def ended(self, within: float) -> bool:
        """Wait until the replica has ended; false when that takes longer than `within` seconds."""
        return await _happens(self._ended, within)


class Pool:
    """Slots of the backends that answer now. Requests that find none free wait in order, within a bound."""

    def __init__(self, waiting_per_replica: int) -> None:
        self._waiting_per_replica = waiting_per_replica
        self._backends: tuple[Backend, ...] = ()
        self._expecting = False
        self._waiting: deque[asyncio.Future[Backend]] = deque()
        self._demand = asyncio.Event()
        self._turns = itertools.count(1)
        self._load = MeanLoad(_now())

    def use(self, backends: Iterable[Backend], *, expecting: bool = False) -> None:
        """Only these from now on; requests that others work on are finished there.

        Who waits goes on waiting for these. Without any, requests wait only when one is `expecting` a backend, and
        the others are sent away.
        """
        self._backends = tuple(backends)
        self._expecting = expecting
        self._serve_waiting()
        if not self._most_waiting():
            self._send_away()
        self._note()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Backend]:
        """A slot of the least busy backend, for as long as the context lasts.

        Raises Unavailable at once when nobody answers, or as many wait as may.
        """
        backend = self._least_busy() or await self._wait()
        try:
            yield backend
        finally:
            self._give_back(backend)

    def glance(self) -> Backend:
        """The least busy backend, and no slot of it: for what is no work, and wakes nobody.

        Raises Unavailable when nobody answers now.
        """
        if not self._backends:
            raise _nobody()
        return min(self._backends, key=_rank)

    async def demand(self) -> None:
        """Wait until somebody waits."""
        await self._demand.wait()

    def mean_load(self) -> float:
        """Requests worked on and waiting, in the mean since this was last asked."""
        return self._load.take(_now())

    def _most_waiting(self) -> int:
        return self._waiting_per_replica * (len(self._backends) or int(self._expecting))

    def _least_busy(self) -> Backend | None:
        """One more slot of it is in use when this returns. Nobody can be waiting while one is free."""
        backend = min((each for each in self._backends if each.free), key=_rank, default=None)
        if backend is None:
            return None
        backend.take(next(self._turns))
        self._note()
        return backend

    async def _wait(self) -> Backend:
        if len(self._waiting) >= self._most_waiting():
            raise _too_many(len(self._waiting)) if self._most_waiting() else _nobody()
        waiter: asyncio.Future[Backend] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._note()
        try:
            return await waiter
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def _leave(self, waiter: asyncio.Future[Backend]) -> None:
        """Who waited has gone; a slot that was handed over in that very moment goes to the next."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            self._note()
        elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self._give_back(waiter.result())

    def _give_back(self, backend: Backend) -> None:
        backend.give_back()
        self._serve_waiting()
        self._note()

    def _serve_waiting(self) -> None:
        while self._waiting and (backend := self._least_busy()):
            waiter = self._waiting.popleft()
            if waiter.done():
                backend.give_back()
            else:
                waiter.set_result(backend)

    def _send_away(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(_nobody())

    def _note(self) -> None:
        self._load.note(sum(backend.busy for backend in self._backends) + len(self._waiting), _now())
        if self._waiting:
            self._demand.set()
        else:
            self._demand.clear()


async def _happens(event: asyncio.Event, within: float) -> bool:
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _rank(backend: Backend) -> tuple[int, int]:
    return backend.rank


def _now() -> float:
    return asyncio.get_running_loop().time()


def _nobody() -> Unavailable:
    return Unavailable("The service has no replica that answers now.", code="NoReplica", retry_after=_RETRY_AFTER)


def _too_many(waiting: int) -> Unavailable:
    return Unavailable(
        f"All replicas are busy, and {waiting} requests wait already.", code="TooManyRequests", retry_after=_RETRY_AFTER
    )
