"""What the environment says, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
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
    exit_with_parent: bool = False
    """Whether the end of standard input ends the process."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """The settings of that environment. Raises ValueError, naming the variable, for what is absent or makes no sense."""
        if not environment.get("SLIPWAY_DRIVER"):
            raise ValueError("SLIPWAY_DRIVER is not set: it names the driver's file.")
        return cls(
            driver=environment["SLIPWAY_DRIVER"],
            dependencies=Path(environment.get("SLIPWAY_DEPENDENCIES", cls.dependencies)),
            host=environment.get("SLIPWAY_HOST", cls.host),
            port=_whole(environment, "SLIPWAY_PORT", cls.port, least=0),
            max_concurrency=_whole(environment, "SLIPWAY_MAX_CONCURRENCY", cls.max_concurrency, least=1),
            max_waiting=_whole(environment, "SLIPWAY_MAX_WAITING", cls.max_waiting, least=0),
            request_timeout=_whole(environment, "SLIPWAY_REQUEST_TIMEOUT", int(cls.request_timeout), least=1),
            max_body=_whole(environment, "SLIPWAY_MAX_BODY", cls.max_body, least=1),
            exit_with_parent=environment.get("SLIPWAY_EXIT_WITH_PARENT") == "1",
        )


def _whole(environment: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"{name} is not a whole number of at least {least}: {text!r}.")
    return int(text)
