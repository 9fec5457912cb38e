"""Micro-batching: what arrives at about the same time goes to the driver as one list."""

import asyncio
import contextvars
from collections.abc import Callable, Sequence

from ..http.messages import Request, Response

type StartBatch = Callable[[Sequence[Request]], asyncio.Future[list[Response]]]


class Batching:
    """Gathers requests for `start_batch`: so many at most, none for longer than that time after the first of its batch."""

    def __init__(self, start_batch: StartBatch, size: int, seconds: float) -> None:
        self._start_batch = start_batch
        self._size = size
        self._seconds = seconds
        self._gathered: list[tuple[Request, asyncio.Future[Response]]] = []
        self._timer: asyncio.TimerHandle | None = None

    def start(self, request: Request) -> asyncio.Future[Response]:
        """Begin to answer, with others. What the driver says meanwhile has the id of the first of them."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Response] = loop.create_future()
        if not self._gathered:
            self._context = contextvars.copy_context()
        self._gathered.append((request, answer))
        if len(self._gathered) >= self._size:
            self._go()
        elif self._timer is None:
            self._timer = loop.call_later(self._seconds, self._go)
        return answer

    def _go(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        batch, self._gathered = self._gathered, []
        answers = [answer for _, answer in batch]
        work = self._context.run(self._start_batch, [request for request, _ in batch])
        work.add_done_callback(lambda work: _hand_out(work, answers))


def _hand_out(work: asyncio.Future[list[Response]], answers: Sequence[asyncio.Future[Response]]) -> None:
    error = work.exception()
    for answer, response in zip(answers, [] if error else work.result(), strict=not error):
        answer.set_result(response)
    for answer in answers if error else ():
        answer.set_exception(error or RuntimeError())
