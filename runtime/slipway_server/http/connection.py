"""One connection of a client: what it asks is answered one by one, in its order, and only when all of it is there."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..work.deadline import Deadline
from .messages import Request, Response, failure
from .reader import Admission, RequestReader
from .rendering import CONTINUE, rendered


class Exchange(Protocol):
    """A request that is being answered."""

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""


type Answer = Callable[[Request, Callable[[Response], None]], Exchange | None]

_IDLE = 120.0  # longer than clients keep a connection they do not use: it is for them to close it
_LINGER = 2.0  # for how long a refused client may go on sending: cut off at once, it could miss the answer


class Connection(asyncio.Protocol):
    """Reads requests, each of which has `arrival` seconds to arrive, and hands them to `answer`.

    While it is open it is in the set `connections`. It ends when for `idle` seconds nothing is asked, or taken of an answer.
    """

    def __init__(
        self,
        answer: Answer,
        connections: set["Connection"],
        *,
        max_body: int,
        arrival: float,
        admission: Admission | None = None,
        idle: float = _IDLE,
    ) -> None:
        self._answer = answer
        self._connections = connections
        self._arrival = arrival
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader(max_body, admission)
        self._asked: deque[Request | Response] = deque()
        self._current: Request | None = None
        self._exchange: Exchange | None = None
        self._deadline = Deadline()
        self._arriving = False
        self._last = False
        self._refused = False
        self._writable = True
        self._left = 0

    def stop(self) -> None:
        """Close when what has begun to arrive is answered."""
        self._last = True
        if not self._current and not self._asked and not self._reader.receiving:
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
        self._asked.clear()
        if self._current and self._exchange:
            self._exchange.abandon()

    def data_received(self, data: bytes) -> None:
        """Bytes came. What comes while an answer is due is read no further until it is given."""
        if self._refused:
            return
        self._asked.extend(self._reader.feed(data))
        if self._current or not self._writable:
            self._transport.pause_reading()
        else:
            self._go_on()

    def pause_writing(self) -> None:
        """The client is slow to take its answers."""
        self._writable = False
        self._deadline.set(self._idle, self._end_idle)  # should it take no more: what it asked meanwhile sets no time

    def resume_writing(self) -> None:
        """The client has taken most of them."""
        self._writable = True
        if not self._current:
            self._go_on()

    # Answering.

    def _go_on(self) -> None:
        if self._asked:
            self._answer_next()
        else:
            self._transport.resume_reading()
            self._wait_for_more()

    def _answer_next(self) -> None:
        if self._current or not self._asked or not self._writable or self._transport.is_closing():
            return
        self._deadline.lift()
        self._arriving = False
        asked = self._asked.popleft()
        if isinstance(asked, Response):
            self._refuse(asked)
        else:
            self._current = asked
            exchange = self._answer(asked, self._reply)
            self._exchange = exchange if self._current else None

    def _reply(self, response: Response) -> None:
        asked, self._current, self._exchange = self._current, None, None
        if asked is None or self._transport.is_closing():
            return
        last = not asked.keep_alive or (self._last and not self._asked and not self._reader.receiving)
        self._transport.write(rendered(response, asked, last=last))
        if last:
            self._close()
        elif self._asked:
            self._loop.call_soon(self._answer_next)  # others have their turn
        else:
            self._go_on()

    def _refuse(self, response: Response) -> None:
        self._refused = True
        self._transport.write(rendered(response, None, last=True))
        with contextlib.suppress(OSError):  # the client may be gone already
            self._transport.write_eof()
        self._deadline.set(_LINGER, self._transport.abort)

    def _close(self) -> None:
        self._transport.close()
        self._deadline.set(self._idle, self._end_idle)  # should the client never take what it was sent

    # Waiting.

    def _wait_for_more(self) -> None:
        if self._refused or self._transport.is_closing():
            return
        if self._reader.continue_expected:
            self._reader.continue_expected = False
            self._transport.write(CONTINUE)
        arriving = self._reader.receiving
        if not arriving:
            self._deadline.set(self._idle, self._end_idle)
        elif not self._arriving:
            self._deadline.set(self._arrival, self._arrived_too_late)
        self._arriving = arriving

    def _arrived_too_late(self) -> None:
        self._refuse(failure(408, f"The request did not arrive within {self._arrival:g} seconds."))

    def _end_idle(self) -> None:
        """End it, unless the client has taken something of its answer since this was looked at."""
        left = self._transport.get_write_buffer_size()
        if left and left != self._left:
            self._left = left
            self._deadline.set(self._idle, self._end_idle)
        else:
            self._transport.abort()
