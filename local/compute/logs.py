"""What replicas print: kept in one file each, bounded while it is written, and quoted in errors."""

import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from local.compute.turned_file import TurnedFile, older
from shared.compute.local_process import PrintedLog
from shared.domain.computing import LogQuery
from shared.domain.log_lines import message_of

_QUOTED_LINES = 20
_QUOTED_CHARACTERS = 1800
_LOOKED_AT = 64 * 1024
_READ = 4 * 1024 * 1024


class ReplicaLog:
    """The log of one replica, which a restart goes on with. `told` makes what was printed fit for callers to see."""

    def __init__(self, path: Path, told: Callable[[str], str], most: int) -> None:
        self._path = path
        self._told = told
        self._most = most
        self._file: TurnedFile | None = None

    def open(self) -> TurnedFile:
        """For what a start prints."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = TurnedFile(self._path, self._most)
        return self._file

    def last_lines(self) -> str:
        """The end of what was printed since this was opened, as a person would read it."""
        text = _end_of(self._path, min(_LOOKED_AT, self._file.printed if self._file else 0))
        messages = "\n".join(message_of(line) for line in self._told(text).splitlines() if line.strip())
        return "\n".join(messages.splitlines()[-_QUOTED_LINES:])[-_QUOTED_CHARACTERS:]


def _end_of(path: Path, most: int) -> str:
    """The last bytes of that log, of what it held before it was turned over too."""
    now = _last_bytes(path, most)
    return (_last_bytes(older(path), most - len(now)) + now).decode(errors="replace")


def _last_bytes(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - most))
            return file.read(most)
    except FileNotFoundError:
        return b""


def _since(lines: Sequence[str], since: datetime) -> list[str]:
    """Those from the first on that says it is no older; a line that tells no time belongs to the one before."""
    for number, line in enumerate(lines):
        moment = _moment(line)
        if moment is not None and moment >= since:
            return list(lines[number:])
    return []


def _moment(line: str) -> datetime | None:
    """When that was printed, if it says so; a time without a zone may be any."""
    try:
        moment = datetime.fromisoformat(json.loads(line)["timestamp"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return moment if moment.tzinfo else None


class Logs:
    """A folder of logs: one folder a service, one file a replica, named after its deployment.

    `told` makes what was printed fit for callers to see. Of each replica, `most` bytes are kept, and as many older ones.
    """

    def __init__(self, folder: Path, told: Callable[[str], str], most: int) -> None:
        self._folder = folder
        self._told = told
        self._most = most

    def of(self, service_id: str, replica: str) -> ReplicaLog:
        """The log of that replica."""
        return ReplicaLog(self._folder / service_id / f"{replica}.log", self._told, self._most)

    def printed(self, service_id: str, query: LogQuery) -> Iterator[PrintedLog]:
        """What the service's replicas have printed, those of a deployment that failed included."""
        files = (self._folder / service_id).glob("*.log*")  # one that is turned over right now has an older part only
        for replica in sorted({file.name.partition(".log")[0] for file in files}):
            if query.replica in (None, replica):
                path = self._folder / service_id / f"{replica}.log"
                yield PrintedLog(replica=replica, lines=tuple(self._lines(path, query)))

    def _lines(self, path: Path, query: LogQuery) -> Iterable[str]:
        lines = self._told(_end_of(path, _READ)).splitlines()
        if query.since is not None:
            lines = _since(lines, query.since)
        return lines[-query.tail :]

    def keep_only(self, service_id: str, deployment_ids: Collection[str]) -> None:
        """Remove the logs of the service's other deployments."""
        for path in (self._folder / service_id).glob("*.log*"):
            if not path.name.startswith(tuple(deployment_ids)):
                path.unlink(missing_ok=True)

    def remove(self, service_id: str) -> None:
        """Remove the logs of a service."""
        shutil.rmtree(self._folder / service_id, ignore_errors=True)
