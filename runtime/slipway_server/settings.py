"""What the environment says, read once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How one replica serves. Times are seconds, sizes bytes."""

    driver: str
    """The driver's file name, in the working directory."""
    dependencies: Path = Path("/opt/slipway/python")
    """Where the driver's packages are installed."""
    host: str = "0.0.0.0"  # noqa: S104  the port of a container is reached from outside it
    port: int = 5001
    max_concurrency: int = 10
    """So many requests are worked on at once (client-facts.md, 13)."""
    max_waiting: int = 10
    """So many more wait their turn; the next one is refused."""
    request_timeout: float = 60
    """A request is answered in this time, and has this time to arrive (client-facts.md, 28)."""
    max_body: int = 100 * 1024 * 1024
    processes: int = 1
    """So many processes share the slots, and the memory of the loaded driver; no more than there are slots.

    With Spark there is one: a session belongs to one process.
    """
    batch_size: int = 1
    """So many requests go to the driver's `run_batch` at once; 1: each goes to `run`."""
    batch_milliseconds: int = 5
    """For so long the first of a batch waits for others."""
    keys: Path | None = None
    """Where the keys are mounted; None: everybody is answered."""
    guard_metrics: bool = False
    """Whether the metrics need a key, too: where strangers reach this port."""
    path_prefix: str = ""
    """Under which path the front end of a cluster sends its callers here (client-facts.md, 33), with no `/` around it."""
    revision: str = ""
    """Which revision of the service this replica is of; told to who sends a key."""
    working_directory: Path | None = None
    """An empty folder to work in, where the app's own folder cannot be written to."""
    exit_with_parent: bool = False
    """Whether the end of standard input ends the process."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """The settings of that environment. Raises ValueError, naming the variable, for what is absent or makes no sense."""
        if not environment.get("SLIPWAY_DRIVER"):
            raise ValueError("SLIPWAY_DRIVER is not set: it names the driver's file.")
        slots = _whole(environment, "SLIPWAY_MAX_CONCURRENCY", cls.max_concurrency, least=1)
        processes = _whole(environment, "SLIPWAY_PROCESSES", cls.processes, least=1)
        return cls(
            driver=environment["SLIPWAY_DRIVER"],
            dependencies=Path(environment.get("SLIPWAY_DEPENDENCIES", cls.dependencies)),
            host=environment.get("SLIPWAY_HOST", cls.host),
            port=_whole(environment, "SLIPWAY_PORT", cls.port, least=0, most=65_535),
            max_concurrency=slots,
            max_waiting=_whole(environment, "SLIPWAY_MAX_WAITING", cls.max_waiting, least=0),
            request_timeout=_whole(environment, "SLIPWAY_REQUEST_TIMEOUT", int(cls.request_timeout), least=1),
            max_body=_whole(environment, "SLIPWAY_MAX_BODY", cls.max_body, least=1),
            processes=1 if environment.get("SLIPWAY_SPARK") == "1" else min(processes, slots),
            batch_size=_whole(environment, "SLIPWAY_BATCH_SIZE", cls.batch_size, least=1),
            batch_milliseconds=_whole(environment, "SLIPWAY_BATCH_MILLISECONDS", cls.batch_milliseconds, least=0),
            keys=_path(environment, "SLIPWAY_KEYS"),
            guard_metrics=environment.get("SLIPWAY_GUARD_METRICS") == "1",
            path_prefix=environment.get("SERVICE_PATH_PREFIX", "").strip("/"),
            revision=environment.get("SLIPWAY_REVISION", ""),
            working_directory=_path(environment, "SLIPWAY_WORKING_DIRECTORY"),
            exit_with_parent=environment.get("SLIPWAY_EXIT_WITH_PARENT") == "1",
        )

    def share(self, process: int) -> Self:
        """What of the slots and of the line is one process's own: together they are what one container may have."""
        return replace(
            self,
            max_concurrency=_share(self.max_concurrency, self.processes, process),
            max_waiting=_share(self.max_waiting, self.processes, process),
        )


def _share(whole: int, parts: int, part: int) -> int:
    return whole // parts + (part < whole % parts)


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    return Path(environment[name]) if environment.get(name) else None


def _whole(environment: Mapping[str, str], name: str, default: int, *, least: int, most: int | None = None) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        expected = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} is not a whole number {expected}: {text!r}.")
    return int(text)
