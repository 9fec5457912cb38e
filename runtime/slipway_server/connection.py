"""One connection of a client: what it asks is answered one by one, in its order, and only when all of it is there."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

from .deadline import Deadline
from .messages import Request, Response, failure
from .reader import RequestReader
from .rendering import CONTINUE, rendered

type Answer = Callable[[Request], Awaitable[Response]]

_IDLE = 120.0  # longer than clients keep a connection they do not use: it is for them to close it
_LINGER = 2.0  # for how long a refused client may go on sending: cut off at once, it could miss the answer


class Connection(asyncio.Protocol):
    """Reads requests, each of which has `arrival` seconds to arrive, and hands them to `answer`.

    While it is open it is in the set `connections`.
    """

    def __init__(self, answer: Answer, connections: set["Connection"], *, max_body: int, arrival: float) -> None:
        self._answer = answer
        self._connections = connections
        self._arrival = arrival
        self._reader = RequestReader(max_body)
        self._asked: deque[Request | Response] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._deadline = Deadline()
        self._arriving = False
        self._last = False
        self._refused = False
        self._writable = asyncio.Event()
        self._writable.set()

    def stop(self) -> None:
        """Close when what has begun to arrive is answered."""
        self._last = True
        if not self._answering and not self._reader.receiving:
            self._close()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  the listener is a TCP listener
        self._transport = transport
        self._connections.add(self)
        self._wait_for_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, and nobody waits for an answer."""
        self._connections.discard(self)
        self._deadline.forget()
        if self._answering:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes came. What comes while an answer is due is read no further until it is given."""
        if self._refused:
            return
        self._asked.extend(self._reader.feed(data))
        if self._answering:
            self._transport.pause_reading()
        elif self._asked:
            self._begin_to_answer()
        else:
            self._wait_for_more()

    def pause_writing(self) -> None:
        """The client is slow to take its answers."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has taken most of them."""
        self._writable.set()

    # Answering.

    def _begin_to_answer(self) -> None:
        self._deadline.lift()
        self._arriving = False
        # Started at once, not in the next turn of the loop: most answers are there before this returns.
        self._answering = asyncio.Task(self._answer_all(), loop=asyncio.get_running_loop(), eager_start=True)
        if self._answering.done():
            self._answering = None

    async def _answer_all(self) -> None:
        while self._asked and not self._transport.is_closing():
            await self._answer_one(self._asked.popleft())
        self._answering = None
        self._transport.resume_reading()
        self._wait_for_more()

    async def _answer_one(self, asked: Request | Response) -> None:
        if isinstance(asked, Response):
            self._refuse(asked)
            return
        response = await self._answer(asked)
        last = not asked.keep_alive or (self._last and not self._asked and not self._reader.receiving)
        self._transport.write(rendered(response, asked, last=last))
        if last:
            self._close()
        elif self._asked:
            await asyncio.sleep(0)  # others have their turn
        await self._writable.wait()

    def _refuse(self, response: Response) -> None:
        self._refused = True
        self._transport.write(rendered(response, None, last=True))
        with contextlib.suppress(OSError):  # the client may be gone already
            self._transport.write_eof()
        self._deadline.set(_LINGER, self._transport.abort)

    def _close(self) -> None:
        self._transport.close()
        self._deadline.set(_IDLE, self._transport.abort)  # should the client never take what it was sent

    # Waiting.

    def _wait_for_more(self) -> None:
        if self._refused or self._transport.is_closing():
            return
        if self._reader.continue_expected:
            self._reader.continue_expected = False
            self._transport.write(CONTINUE)
        arriving = self._reader.receiving
        if not arriving:
            self._deadline.set(_IDLE, self._transport.abort)
        elif not self._arriving:
            self._deadline.set(self._arrival, self._arrived_too_late)
        self._arriving = arriving

    def _arrived_too_late(self) -> None:
        self._refuse(failure(408, f"The request did not arrive within {self._arrival:g} seconds."))
