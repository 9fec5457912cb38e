"""The seam: every call that Slipway makes to the outside goes through a port, and here each may go wrong."""

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from shared.domain.errors import Taken, Throttled, Unavailable

SHARED = Path(__file__).parent.parent.parent / "shared"
_CALLERS = (str(SHARED / "resources"), str(SHARED / "orchestration"))


class Fault(StrEnum):
    """What can go wrong with one call."""

    AWAY = "it is away"
    THROTTLED = "it asks for patience"
    BROKEN = "it answers 500"
    TAKEN = "it answers 409"
    ANSWER_LOST = "its answer is lost"
    KILLED_BEFORE = "the worker is killed before it"
    KILLED_AFTER = "the worker is killed after it"
    PAUSED = "the worker is paused before it, while others go on"
    PAUSED_CANCELLED = "the worker is paused before it, while what it works on is cancelled"
    PAUSED_DELETED = "the worker is paused before it, while what it works on is deleted"
    CANCELLED = "what it works on is cancelled meanwhile"
    DELETED = "what it works on is deleted meanwhile"


MEANWHILE = (Fault.PAUSED, Fault.PAUSED_CANCELLED, Fault.PAUSED_DELETED, Fault.CANCELLED, Fault.DELETED)


class Killed(BaseException):
    """A worker's process is gone: nothing of it runs any more, no clean-up either."""


@dataclass(frozen=True)
class Site:
    """Where a call is made from, and what is called."""

    file: str
    line: int
    call: str


@dataclass
class Process:
    """A process: dead from the moment it is killed."""

    alive: bool = True


type Disturb = Callable[[Site], Fault | None]
type Meanwhile = Callable[[Fault], Coroutine[Any, Any, None]]


class Disturbed:
    """A port's adapter as one process calls it: `disturb` says what goes wrong with a call, `meanwhile` what others do."""

    def __init__(self, port: str, adapter: Any, process: Process, disturb: Disturb, meanwhile: Meanwhile) -> None:
        self._port = port
        self._adapter = adapter
        self._process = process
        self._disturb = disturb
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._adapter, name)
        if name == "writing":
            return lambda *given: self._writing(_site(f"{self._port}.{name}"), member, given)
        if not inspect.iscoroutinefunction(member):
            return member
        return lambda *given, **named: self._call(_site(f"{self._port}.{name}"), member, given, named)

    async def _call(self, site: Site, member: Callable[..., Awaitable[Any]], given: Any, named: Any) -> Any:
        fault = await self._before(site)
        answer = await member(*given, **named)
        self._after(fault)
        return answer

    @asynccontextmanager
    async def _writing(self, site: Site, member: Callable[..., Any], given: Any) -> AsyncIterator[Any]:
        fault = await self._before(site)
        async with member(*given) as log:
            yield log
        self._after(fault)

    async def _before(self, site: Site) -> Fault | None:
        await asyncio.sleep(0)
        self._alive()
        fault = self._disturb(site)
        match fault:
            case Fault.AWAY:
                raise Unavailable("It is away.")
            case Fault.THROTTLED:
                raise Throttled("It asks for patience.", retry_after=7)
            case Fault.BROKEN:
                raise Unavailable("It answered 500.", status_code=500)
            case Fault.TAKEN if site.call == "store.commit":
                raise Taken("It answered 409.", "elsewhere")
            case Fault.KILLED_BEFORE:
                self._kill()
            case happening if happening in MEANWHILE:
                await asyncio.create_task(self._meanwhile(happening), context=Context())  # they know nothing of its fence
        return fault

    def _after(self, fault: Fault | None) -> None:
        self._alive()
        if fault is Fault.KILLED_AFTER:
            self._kill()
        if fault is Fault.ANSWER_LOST:
            raise Unavailable("Its answer was lost.")

    def _kill(self) -> None:
        self._process.alive = False
        raise Killed

    def _alive(self) -> None:
        if not self._process.alive:
            raise Killed


def _site(call: str) -> Site:
    """The line in the use cases and workflows that a call comes from."""
    frame = sys._getframe(2)
    while frame.f_back is not None and not frame.f_code.co_filename.startswith(_CALLERS):
        frame = frame.f_back
    return Site(frame.f_code.co_filename, frame.f_lineno, call)
