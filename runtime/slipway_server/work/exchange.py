"""One request to score, from its arrival to its answer: a slot, the driver's work, the time limit."""

import asyncio
import contextvars
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .. import logs
from ..http.messages import CURRENT, Request, Response, failure
from ..metrics import Counts
from ..observing import Observer
from .deadline import TimeLimit
from .slots import Full, Slots

type Reply = Callable[[Response], None]
type Start = Callable[[Request], asyncio.Future[Response]]

RETRY = ("retry-after", "1")


@dataclass(frozen=True)
class Desk:
    """What the exchanges of one process share."""

    start: Start
    slots: Slots
    counts: Counts
    observers: Sequence[Observer]
    in_time: TimeLimit
    """For the answer."""
    to_end: TimeLimit
    """For work that goes on when its answer was due."""
    hung: asyncio.Event
    """Set when it does not end in that time, either."""


class Exchange:
    """Answers one request, by calling `reply` once. There are no tasks in it: it is what every request pays for."""

    __slots__ = ("_began", "_began_work", "_desk", "_reply", "_request", "_work")

    def __init__(self, desk: Desk, request: Request, reply: Reply) -> None:
        self._desk = desk
        self._request = request
        self._reply: Reply | None = reply
        self._work: asyncio.Future[Response] | None = None
        self._began = time.perf_counter()

    def begin(self) -> None:
        """Take a slot, or a place in the line for one, or refuse."""
        desk = self._desk
        try:
            desk.slots.take(self._start)
        except Full:
            desk.counts.rejected()
            self._answer(failure(503, "All that may be worked on at once, or wait, does.", RETRY))
        if self._reply:
            desk.in_time.start(self._late)

    def refuse(self, response: Response) -> None:
        """Answer that, with no work."""
        self._answer(response)

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        self._reply = None
        self._desk.in_time.stop(self._late)
        self._let_go()

    def _start(self) -> None:
        self._began_work = time.perf_counter()
        self._work = work = contextvars.copy_context().run(self._started)
        if work.done():
            self._worked(work)
        else:
            work.add_done_callback(self._worked)

    def _started(self) -> asyncio.Future[Response]:
        CURRENT.set(self._request)
        try:
            return self._desk.start(self._request)
        except Exception as error:  # noqa: BLE001  the slot is to be given back
            work: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
            work.set_exception(error)
            return work

    def _worked(self, work: asyncio.Future[Response]) -> None:
        desk = self._desk
        desk.to_end.stop(self._hangs)
        response = _outcome(work)
        if response.status >= 500:
            desk.counts.failed()
        if self._reply:
            desk.in_time.stop(self._late)
            self._answer(response)
        desk.counts.worked(time.perf_counter() - self._began_work)
        desk.slots.give_back()

    def _late(self) -> None:
        self._answer(failure(504, f"There was no answer within {self._desk.in_time.seconds:g} seconds."))
        self._let_go()

    def _let_go(self) -> None:
        """Leave the line, or end the work. A thread cannot be stopped: it keeps its slot for as long as it runs."""
        if self._work is None:
            self._desk.slots.leave(self._start)
        elif not self._work.done():
            self._desk.to_end.start(self._hangs)
            if isinstance(self._work, asyncio.Task):
                self._work.cancel()

    def _hangs(self) -> None:
        self._desk.hung.set()

    def _answer(self, response: Response) -> None:
        reply, self._reply = self._reply, None
        if reply:
            reply(response)
        desk, request = self._desk, self._request
        seconds = time.perf_counter() - self._began
        desk.counts.answered(response.status, seconds, len(request.body), len(response.body))
        logs.log_soon("INFO", f"POST /score {response.status} in {1000 * seconds:.1f} ms", request)
        for observer in desk.observers:
            observer.scored(request, response, time.time() - seconds, seconds)


def _outcome(work: asyncio.Future[Response]) -> Response:
    """What came of the work, even where this server has a bug."""
    if work.cancelled():
        return failure(500, "The driver was cancelled.")
    if error := work.exception():
        logs.log("ERROR", "".join(traceback.format_exception(error)))
        return failure(500, "The server failed. Its log says why.")
    return work.result()
