"""The environment, parsed once. What is missing or malformed is an error that names the setting."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from urllib.parse import urlsplit

from shared.compute_settings import ComputeSettings, read_compute_settings
from shared.domain.accounts import Account
from shared.domain.plans import PLANS, Plan
from shared.environment import SettingError, listed, number, required
from shared.image_settings import ImageSettings, read_image_settings

_OTLP_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@dataclass(frozen=True)
class TokenSettings:
    """Who may issue tokens, for whom, and where the keys are."""

    issuers: tuple[str, ...]
    audiences: tuple[str, ...]
    jwks_url: str


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
    compute: ComputeSettings
    plans: Mapping[str, Plan]
    retention: timedelta
    command_accounts: tuple[Account, ...]
    events: EventSettings | None
    telemetry: bool


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables; raises SettingError."""
    required(environment, "SLIPWAY_ACCOUNTS")
    return Settings(
        accounts=_accounts(environment, "SLIPWAY_ACCOUNTS"),
        secret=_secret(required(environment, "SLIPWAY_SECRET")),
        storage={name: value for name, value in environment.items() if name.startswith("AzureWebJobsStorage")},
        tokens=_tokens(environment),
        images=read_image_settings(environment),
        compute=read_compute_settings(environment),
        plans={name: _plan(environment, name, plan) for name, plan in PLANS.items()},
        retention=timedelta(days=number(environment, "SLIPWAY_OPERATION_RETENTION_DAYS", 30)),
        command_accounts=_accounts(environment, "SLIPWAY_COMMAND_ACCOUNTS"),
        events=_events(environment),
        telemetry=any(environment.get(name) for name in _OTLP_ENDPOINTS),
    )


def _accounts(environment: Mapping[str, str], name: str) -> tuple[Account, ...]:
    parts = [entry.split("/") for entry in listed(environment, name)]
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
    required(environment, "SLIPWAY_TOKEN_AUDIENCES")
    audiences = listed(environment, "SLIPWAY_TOKEN_AUDIENCES")
    tenant = environment.get("SLIPWAY_ENTRA_TENANT", "").strip()
    if tenant:
        authority = "https://login.microsoftonline.com"
        both = (f"https://sts.windows.net/{tenant}/", f"{authority}/{tenant}/v2.0")
        return TokenSettings(both, audiences, f"{authority}/{tenant}/discovery/v2.0/keys")
    required(environment, "SLIPWAY_TOKEN_ISSUERS")
    issuers = listed(environment, "SLIPWAY_TOKEN_ISSUERS")
    return TokenSettings(issuers, audiences, required(environment, "SLIPWAY_TOKEN_JWKS_URL"))


def _events(environment: Mapping[str, str]) -> EventSettings | None:
    endpoint = environment.get("SLIPWAY_EVENTS_ENDPOINT", "").strip()
    if not endpoint:
        return None
    if urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname:
        raise SettingError("SLIPWAY_EVENTS_ENDPOINT accepts an http or https URL.")
    events = EventSettings(endpoint, required(environment, "SLIPWAY_EVENTS_KEY"))
    if not events.event_grid:
        try:
            base64.b64decode(events.key.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            raise SettingError("SLIPWAY_EVENTS_KEY accepts a signing secret: base64 behind whsec_.") from None
    return events


def _plan(environment: Mapping[str, str], name: str, plan: Plan) -> Plan:
    suffix = name.upper().replace("-", "_")
    deadline = number(environment, f"SLIPWAY_DEADLINE_{suffix}", round(plan.deadline.total_seconds()))
    attempts = number(environment, f"SLIPWAY_ATTEMPTS_{suffix}", plan.attempts)
    return replace(plan, deadline=timedelta(seconds=deadline), attempts=attempts)
