"""What replicas print: appended to one file each by the replica itself, bounded, and quoted in errors."""

import json
import logging
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from shared.compute.local_process import PrintedLog
from shared.domain.computing import LogQuery
from shared.domain.log_lines import message_of

_QUOTED_LINES = 20
_QUOTED_CHARACTERS = 1800
_LOOKED_AT = 64 * 1024
_READ = 4 * 1024 * 1024

_logger = logging.getLogger(__name__)


class ReplicaLog:
    """The log of one replica, which a restart goes on with. `told` makes what was printed fit for callers to see."""

    def __init__(self, path: Path, told: Callable[[str], str]) -> None:
        self._path = path
        self._told = told
        path.parent.mkdir(parents=True, exist_ok=True)
        self._began = path.stat().st_size if path.exists() else 0

    def open(self) -> BinaryIO:
        """For a process to append to."""
        return self._path.open("ab")

    def last_lines(self) -> str:
        """The end of what was printed since this was made, as a person would read it."""
        with self._path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(self._began if self._began <= size else 0, size - _LOOKED_AT))
            text = file.read().decode(errors="replace")
        messages = "\n".join(message_of(line) for line in self._told(text).splitlines() if line.strip())
        return "\n".join(messages.splitlines()[-_QUOTED_LINES:])[-_QUOTED_CHARACTERS:]


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _READ))
        return file.read().decode(errors="replace")


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

    `told` makes what was printed fit for callers to see.
    """

    def __init__(self, folder: Path, told: Callable[[str], str]) -> None:
        self._folder = folder
        self._told = told

    def of(self, service_id: str, replica: str) -> ReplicaLog:
        """The log of that replica."""
        return ReplicaLog(self._folder / service_id / f"{replica}.log", self._told)

    def printed(self, service_id: str, query: LogQuery) -> Iterator[PrintedLog]:
        """What the service's replicas have printed, those of a deployment that failed included."""
        for path in sorted((self._folder / service_id).glob("*.log")):
            if query.replica in (None, path.stem):
                yield PrintedLog(replica=path.stem, lines=tuple(self._lines(path, query)))

    def _lines(self, path: Path, query: LogQuery) -> Iterable[str]:
        older = path.with_suffix(".log.1")
        text = "".join(_end_of(file) for file in (older, path) if file.exists())
        lines = self._told(text).splitlines()
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

    def turn_over(self, most: int) -> None:
        """Keep what is longer than `most` bytes as `….log.1`, and begin anew.

        The replica appends to the same file all the while: lines that it writes in this moment may be lost.
        """
        for path in self._folder.glob("*/*.log"):
            try:
                _turn_over(path, most)
            except FileNotFoundError:
                continue  # its service has gone
            except OSError as error:
                _logger.warning("the log %s was not turned over: %s", path, error)


def _turn_over(path: Path, most: int) -> None:
    if path.stat().st_size > most:
        shutil.copyfile(path, path.with_suffix(".log.1"))
        with path.open("r+b") as file:
            file.truncate(0)
