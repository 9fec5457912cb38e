"""The environment, parsed once. What is missing or malformed is an error that names the setting."""

import base64
import binascii
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from shared.domain.accounts import Account
from shared.domain.manifests import RuntimeType
from shared.domain.plans import PLANS, Plan
from shared.registries.logins import Login, read_logins
from shared.registries.references import Reference

_MOST = 10_000_000
_OTLP_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class SettingError(Exception):
    """A setting is missing or malformed; the message names it and says what it accepts."""


@dataclass(frozen=True)
class TokenSettings:
    """Who may issue tokens, for whom, and where the keys are."""

    issuers: tuple[str, ...]
    audiences: tuple[str, ...]
    jwks_url: str


@dataclass(frozen=True)
class ImageSettings:
    """Where images go and cached layers are kept, what images stand on and are built for, and what may be fetched."""

    images: Path | None
    registry: str
    logins: Mapping[str, Login]
    bases: Mapping[RuntimeType, str]
    cache: Path
    platform: str
    python: str
    fetch_allow: tuple[str, ...]


@dataclass(frozen=True)
class LocalComputeSettings:
    """The compute node on this machine."""

    control_url: str
    token: str
    front_end: str


@dataclass(frozen=True)
class EventSettings:
    """Where events go besides the queue, and the key or secret that says they are ours."""

    endpoint: str
    key: str = field(repr=False)

    @property
    def event_grid(self) -> bool:
        """Whether the endpoint is a topic of Azure Event Grid, to which the key is an access key; else it is a webhook."""
        return (urlsplit(self.endpoint).hostname or "").endswith(".eventgrid.azure.net")


@dataclass(frozen=True)
class Settings:
    """All settings of a deployment: README, Settings."""

    accounts: tuple[Account, ...]
    secret: bytes
    storage: Mapping[str, str]
    tokens: TokenSettings
    images: ImageSettings
    local_compute: LocalComputeSettings | None
    plans: Mapping[str, Plan]
    retention: timedelta
    command_accounts: tuple[Account, ...]
    events: EventSettings | None
    telemetry: bool


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables; raises SettingError."""
    registry = _registry(environment.get("SLIPWAY_REGISTRY", "").strip().rstrip("/"))
    return Settings(
        accounts=_accounts("SLIPWAY_ACCOUNTS", _required(environment, "SLIPWAY_ACCOUNTS")),
        secret=_secret(_required(environment, "SLIPWAY_SECRET")),
        storage={name: value for name, value in environment.items() if name.startswith("AzureWebJobsStorage")},
        tokens=_tokens(environment),
        images=ImageSettings(
            images=None if registry else Path(_required(environment, "SLIPWAY_IMAGES")).absolute(),
            registry=registry,
            logins=_logins(environment.get("SLIPWAY_REGISTRY_AUTH", "")),
            bases=_bases(environment),
            cache=Path(_required(environment, "SLIPWAY_CACHE")).absolute(),
            platform=environment.get("SLIPWAY_TARGET_PLATFORM") or this_platform(),
            python=environment.get("SLIPWAY_TARGET_PYTHON") or "3.13",
            fetch_allow=_list(environment.get("SLIPWAY_FETCH_ALLOW", "")),
        ),
        local_compute=_local_compute(environment),
        plans={name: _plan(environment, name, plan) for name, plan in PLANS.items()},
        retention=timedelta(days=_number(environment, "SLIPWAY_OPERATION_RETENTION_DAYS", 30)),
        command_accounts=_accounts("SLIPWAY_COMMAND_ACCOUNTS", environment.get("SLIPWAY_COMMAND_ACCOUNTS", "")),
        events=_events(environment),
        telemetry=any(environment.get(name) for name in _OTLP_ENDPOINTS),
    )


def this_platform() -> str:
    """The platform of this machine, as OCI writes it: `linux/amd64`."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise SettingError(f"The setting {name} is missing.")
    return value


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _accounts(name: str, text: str) -> tuple[Account, ...]:
    parts = [entry.split("/") for entry in _list(text)]
    if any(len(entry) != 3 or not all(entry) for entry in parts):
        raise SettingError(f"{name} accepts subscription/resource-group/account, several with commas between them.")
    return tuple(Account(*entry) for entry in parts)


def _secret(text: str) -> bytes:
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) < 32:
        raise SettingError("SLIPWAY_SECRET accepts at least 32 random bytes in base64.")
    return secret


def _tokens(environment: Mapping[str, str]) -> TokenSettings:
    audiences = _list(_required(environment, "SLIPWAY_TOKEN_AUDIENCES"))
    tenant = environment.get("SLIPWAY_ENTRA_TENANT", "").strip()
    if tenant:
        authority = "https://login.microsoftonline.com"
        both = (f"https://sts.windows.net/{tenant}/", f"{authority}/{tenant}/v2.0")
        return TokenSettings(both, audiences, f"{authority}/{tenant}/discovery/v2.0/keys")
    issuers = _list(_required(environment, "SLIPWAY_TOKEN_ISSUERS"))
    return TokenSettings(issuers, audiences, _required(environment, "SLIPWAY_TOKEN_JWKS_URL"))


def _registry(text: str) -> str:
    try:
        return text if not text or Reference.parse(f"{text}/image:1").host in text else _refuse_registry()
    except ValueError:
        return _refuse_registry()


def _refuse_registry() -> NoReturn:
    raise SettingError("SLIPWAY_REGISTRY accepts a registry's host, and what repositories' names begin with: host/prefix.")


def _logins(text: str) -> Mapping[str, Login]:
    try:
        return read_logins(text)
    except ValueError as error:
        raise SettingError(f"SLIPWAY_REGISTRY_AUTH holds {error}.") from None


def _bases(environment: Mapping[str, str]) -> Mapping[RuntimeType, str]:
    bases: dict[RuntimeType, str] = {}
    for runtime in RuntimeType:
        name = f"SLIPWAY_BASE_IMAGE_{runtime.upper()}"
        text = environment.get(name, "").strip()
        try:
            bases |= {runtime: str(Reference.parse(text))} if text else {}
        except ValueError as error:
            raise SettingError(f"{name}: {error}") from None
    return bases


def _events(environment: Mapping[str, str]) -> EventSettings | None:
    endpoint = environment.get("SLIPWAY_EVENTS_ENDPOINT", "").strip()
    if not endpoint:
        return None
    if urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname:
        raise SettingError("SLIPWAY_EVENTS_ENDPOINT accepts an http or https URL.")
    events = EventSettings(endpoint, _required(environment, "SLIPWAY_EVENTS_KEY"))
    if not events.event_grid:
        try:
            base64.b64decode(events.key.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            raise SettingError("SLIPWAY_EVENTS_KEY accepts a signing secret: base64 behind whsec_.") from None
    return events


def _plan(environment: Mapping[str, str], name: str, plan: Plan) -> Plan:
    suffix = name.upper().replace("-", "_")
    deadline = _number(environment, f"SLIPWAY_DEADLINE_{suffix}", round(plan.deadline.total_seconds()))
    attempts = _number(environment, f"SLIPWAY_ATTEMPTS_{suffix}", plan.attempts)
    return replace(plan, deadline=timedelta(seconds=deadline), attempts=attempts)


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "").strip() or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= _MOST:
        raise SettingError(f"{name} accepts a whole number from 1 to {_MOST}.")
    return int(text)


def _local_compute(environment: Mapping[str, str]) -> LocalComputeSettings | None:
    if not environment.get("SLIPWAY_LOCAL_COMPUTE_URL"):
        return None
    return LocalComputeSettings(
        control_url=_required(environment, "SLIPWAY_LOCAL_COMPUTE_URL"),
        token=_required(environment, "SLIPWAY_LOCAL_COMPUTE_TOKEN"),
        front_end=_required(environment, "SLIPWAY_LOCAL_FRONT_END"),
    )
