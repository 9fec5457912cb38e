"""What the telling process does: take what the processes of the server hand over, and pass it on to who is to be told."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

from ..logs import log
from .process import FINISH_SECONDS
from .records import Handover
from .settings import TellingSettings
from .sinks.delivery import Delivery, Sink
from .sinks.places import Places
from .totals import Totals

_NICENESS = 19  # whoever waits for an answer comes first: on a busy core this has about a seventieth of it
_SAY_LOSS_SECONDS = 60.0


def main(control: int, memory: int, folder: Path) -> int:
    """Pass on what comes until no process of the server is left, and then for some seconds what is not passed on yet."""
    os.nice(_NICENESS)
    logging.disable()  # Azure's packages log addresses that hold signatures
    settings, totals = TellingSettings.of(os.environ), Totals(memory)
    deliveries = {
        name: Delivery(name, sink, settings.seconds, totals, collects=name != "app_insights")
        for name, sink in _sinks(settings, folder).items()
    }
    loss = _Loss(totals, settings.destinations)
    for handover in _handed_over(socket.socket(fileno=control)):
        totals.drop(handover.dropped)
        for delivery in deliveries.values():
            delivery.put(handover)
        loss.say(_SAY_LOSS_SECONDS)
    deadline = time.monotonic() + FINISH_SECONDS
    for delivery in deliveries.values():
        delivery.stop(deadline)
    for delivery in deliveries.values():
        delivery.wait()
    loss.say(0)
    return 0


def _sinks(settings: TellingSettings, folder: Path) -> Mapping[str, Callable[[], Sink[Any]]]:
    """How each destination's is made: in its own thread, for Azure's packages take their time to be imported."""

    def storage() -> Sink[Any]:
        from .sinks.storage import CollectedBlobs  # noqa: PLC0415

        return CollectedBlobs.connected(settings.storage_now, Places.of(folder, settings))

    def event_hub() -> Sink[Any]:
        from .sinks.event_hub import CollectedEvents  # noqa: PLC0415

        return CollectedEvents.connected(settings.event_hub, Places.of(folder, settings))

    def app_insights() -> Sink[Any]:
        from .sinks.app_insights import AppInsights  # noqa: PLC0415

        return AppInsights.connected(settings.app_insights, settings.service, settings.version)

    made = {"storage": storage, "event_hub": event_hub, "app_insights": app_insights}
    return {name: made[name] for name in settings.destinations}


def _handed_over(control: socket.socket) -> Iterator[Handover]:
    """All that comes through pipes that come through `control`, until its end and theirs."""
    open_ends: list[Connection | socket.socket] = [control]
    while open_ends:
        for ready in cast("Sequence[Connection | socket.socket]", wait(open_ends)):
            if ready is control:
                pipe = _pipe(control)
                open_ends = [*open_ends, pipe] if pipe else [end for end in open_ends if end is not control]
                continue
            data = _read(cast("Connection", ready))
            if data:
                yield Handover.of(data)
            else:
                open_ends.remove(ready)
                ready.close()


def _pipe(control: socket.socket) -> Connection | None:
    _, files, _, _ = socket.recv_fds(control, 1, 1)
    return Connection(files[0], writable=False) if files else None


def _read(pipe: Connection) -> bytes:
    try:
        return pipe.recv_bytes()
    except (EOFError, OSError):  # the process is gone, whether or not it said so
        return b""


class _Loss:
    """What was lost, said in the log now and then."""

    def __init__(self, totals: Totals, destinations: Sequence[str]) -> None:
        self._totals = totals
        self._destinations = destinations
        self._said = self._now()
        self._when = 0.0

    def say(self, seconds: float) -> None:
        """Say it, if it is more than was said, and that was so many seconds ago."""
        now = self._now()
        if now == self._said or time.monotonic() - self._when < seconds:
            return
        new = {name: number - self._said[name] for name, number in now.items() if number > self._said[name]}
        log("WARNING", f"Lost, and not told to Azure: {', '.join(f'{number} for {name}' for name, number in new.items())}.")
        self._said, self._when = now, time.monotonic()

    def _now(self) -> dict[str, int]:
        lost = {name: self._totals.lost(name) for name in self._destinations}
        return {**lost, "all": self._totals.dropped}
