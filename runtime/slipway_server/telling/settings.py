"""What the environment says of data collection and Application Insights (client-facts.md, 29)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_SWITCHES = {
    "storage": ("AML_MODEL_DC_STORAGE_ENABLED", "AML_MODEL_DC_STORAGE"),
    "event_hub": ("AML_MODEL_DC_EVENT_HUB_ENABLED", "AML_MODEL_DC_EVENT_HUB"),
    "app_insights": ("AML_APP_INSIGHTS_ENABLED", "AML_APP_INSIGHTS_KEY"),
}


@dataclass(frozen=True, kw_only=True)
class TellingSettings:
    """What is told to whom. What nobody is told has an empty connection string."""

    storage: str = ""
    """The connection string of the storage account that collected data goes to, as it was at the start."""
    storage_file: Path | None = None
    """Where it is renewed, if it is: what it allows ends some day."""
    event_hub: str = ""
    app_insights: str = ""
    """An instrumentation key, or a connection string."""
    missing: tuple[str, ...] = ()
    """The variables that what is switched on lacks."""
    service: str = "unknown"
    version: str = ""
    sampling: float = 1.0
    """The share of the requests whose data is collected."""
    excluded: frozenset[str] = frozenset()
    """The names of the fields that are never kept, wherever they are in an input or a prediction; in lower case."""
    seconds: float = 5.0
    """For how long what is told may wait for more, so that it goes out together."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """The settings of that environment. Raises ValueError, naming the variable, for what makes no sense."""
        on = {name: value for name, (switch, value) in _SWITCHES.items() if environment.get(switch, "").lower() == "true"}
        excluded = environment.get("SLIPWAY_COLLECTION_EXCLUDE", "").split(",")
        return cls(
            **{name: environment.get(value, "").strip() for name, value in on.items()},
            missing=tuple(value for value in on.values() if not environment.get(value, "").strip()),
            service=environment.get("SERVICE_NAME") or cls.service,
            version=environment.get("SERVICE_VERSION", cls.version),
            sampling=_number(environment, "SLIPWAY_COLLECTION_SAMPLING", cls.sampling, most=1),
            excluded=frozenset(name.strip().lower() for name in excluded if name.strip()),
            seconds=_number(environment, "SLIPWAY_COLLECTION_SECONDS", cls.seconds, most=3600),
            storage_file=Path(keys, "storage") if (keys := environment.get("SLIPWAY_KEYS")) else None,
        )

    def storage_now(self) -> str:
        """The connection string as it is now."""
        try:
            return (self.storage_file.read_text().strip() if self.storage_file else "") or self.storage
        except (OSError, ValueError):
            return self.storage

    @property
    def collects(self) -> bool:
        """Whether data is collected."""
        return bool(self.storage or self.event_hub)

    @property
    def destinations(self) -> tuple[str, ...]:
        """All who are told, by the names of the fields."""
        return tuple(name for name in _SWITCHES if getattr(self, name))


def _number(environment: Mapping[str, str], name: str, default: float, *, most: float) -> float:
    text = environment.get(name) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= most:
        raise ValueError(f"{name} is not a number from 0 to {most:g}: {text!r}.")
    return number
