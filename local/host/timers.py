"""Timer triggers: one run at a time, on schedule; what was missed while the host was away runs once, at once.

Mirrors the real host's timer listener and its schedule monitor.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.host.stopping import Stopping
from local.host.triggers import TimerTrigger
from local.host.worker import Datum, Worker

_log = logging.getLogger(__name__)

_NEVER = datetime.min.replace(tzinfo=UTC)  # as .NET writes a time that is not set
_LONGEST_WAIT = 60.0  # the clock is looked at again: it moves on while a laptop sleeps, waits do not


@dataclass(frozen=True)
class Status:
    """When a timer last ran, and is next due; `last` is None before the first run."""

    last: datetime | None
    next: datetime


class StatusFile:
    """Remembers a timer's status across restarts, for as long as its schedule stays the same."""

    def __init__(self, path: Path, schedule: str) -> None:
        self._path = path
        self._schedule = schedule

    def read(self) -> Status | None:
        """None when there is none, or none for this schedule."""
        try:
            kept = json.loads(self._path.read_text("utf-8"))
            if kept["schedule"] != self._schedule:
                return None
            last = kept["last"]
            return Status(last and datetime.fromisoformat(last), datetime.fromisoformat(kept["next"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError) as error:
            _log.warning("the timer status %s cannot be read, and starts anew: %s", self._path.name, error)
            return None

    def write(self, status: Status) -> None:
        """In one piece: a reader finds the old or the new."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        last = status.last.isoformat() if status.last else None
        kept = {"schedule": self._schedule, "last": last, "next": status.next.isoformat()}
        partial.write_text(json.dumps(kept), "utf-8")
        partial.replace(self._path)


def _now() -> datetime:
    return datetime.now(UTC)


class TimerListener:
    """Runs one function on its schedule."""

    def __init__(
        self, trigger: TimerTrigger, worker: Worker, folder: Path | None, now: Callable[[], datetime] = _now
    ) -> None:
        self._trigger = trigger
        self._worker = worker
        self._now = now
        kept = folder if trigger.monitored else None
        self._file = kept and StatusFile(kept / f"{trigger.target.name}.json", trigger.schedule.text)

    async def run(self, stopping: Stopping) -> None:
        """Until asked to stop; a run under way is finished first."""
        status = self._first_status()
        missed = status.next <= self._now()
        if missed or self._trigger.run_on_startup:
            status = await self._fire(status, past_due=missed)
        while await self._due(status.next, stopping):
            status = await self._fire(status, past_due=False)

    def _first_status(self) -> Status:
        status = self._file and self._file.read()
        if status:
            return status
        status = Status(None, self._trigger.schedule.after(self._now()))
        self._keep(status)
        return status

    async def _due(self, moment: datetime, stopping: Stopping) -> bool:
        """Wait for that moment; false when asked to stop."""
        while not stopping.asked and (left := (moment - self._now()).total_seconds()) > 0:
            await stopping.within(min(left, _LONGEST_WAIT))
        return not stopping.asked

    async def _fire(self, status: Status, *, past_due: bool) -> Status:
        """Run the function; a failure waits for the next time. However many times were missed, they count as one."""
        began = self._now()
        await self._worker.invoke(self._trigger.target, _timer_info(status, past_due=past_due), {})
        ran = Status(began, self._trigger.schedule.after(began))
        self._keep(ran)
        return ran

    def _keep(self, status: Status) -> None:
        if self._file:
            self._file.write(status)


def _timer_info(status: Status, *, past_due: bool) -> Datum:
    last = (status.last or _NEVER).isoformat()
    info: dict[str, Any] = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": {"Last": last, "Next": status.next.isoformat(), "LastUpdated": last},
        "IsPastDue": past_due,
    }
    return Datum(json.dumps(info), "json")
