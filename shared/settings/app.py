"""All settings of the app, and those of accounts, tokens, events and operations."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from functools import partial
from urllib.parse import urlsplit

from shared.domain.accounts import Account
from shared.domain.plans import PLANS, Plan
from shared.settings.compute import ComputeSettings, compute_settings
from shared.settings.connection_strings import STORAGE_ACCOUNT
from shared.settings.environment import Environment, Form, checked
from shared.settings.forms import PUBLIC_URL, SECRET, SECRET_TEXT, TEXT, URL, listed, whole, word
from shared.settings.images import ImageSettings, image_settings

_TENANT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_STORAGE_NAME = re.compile(r"[a-z0-9]{3,24}")
_STORAGE = "AzureWebJobsStorage"
_OTLP = tuple(f"OTEL_EXPORTER_OTLP_{of}" for of in ("", "TRACES_", "METRICS_"))
_TELEMETRY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class _OtlpCompression(StrEnum):
    NONE = "none"
    GZIP = "gzip"
    DEFLATE = "deflate"


def _protocol(text: str) -> str:
    if text != "http/protobuf":
        raise ValueError
    return text


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", text) or not float(text):
        raise ValueError
    return float(text)


_PROTOCOL = Form("http/protobuf, which is all that is sent", _protocol)
_TIMEOUT = Form("a number of seconds above 0", _seconds)


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
        return _is_event_grid(self.endpoint)


@dataclass(frozen=True)
class Settings:
    """All settings of a deployment: README, Settings."""

    accounts: tuple[Account, ...]
    secret: bytes = field(repr=False)
    public_url: str
    """Where callers reach the app; empty where that is what their Host headers say."""
    storage: Mapping[str, str] = field(repr=False)
    tokens: TokenSettings
    images: ImageSettings
    compute: ComputeSettings
    plans: Mapping[str, Plan]
    retention: timedelta
    command_accounts: tuple[Account, ...]
    events: EventSettings | None
    telemetry: bool


def read_settings(variables: Mapping[str, str]) -> Settings:
    """Settings from environment variables; raises SettingError with all that is wrong."""
    return checked(variables, app_settings)


def app_settings(environment: Environment) -> Settings:
    """Settings whose `environment.check` is still to come."""
    accounts = environment.required("SLIPWAY_ACCOUNTS", _ACCOUNTS, ())
    return Settings(
        accounts=accounts,
        secret=environment.required("SLIPWAY_SECRET", SECRET, b""),
        public_url=environment.read("SLIPWAY_PUBLIC_URL", PUBLIC_URL, ""),
        storage=_storage(environment),
        tokens=_tokens(environment),
        images=image_settings(environment),
        compute=compute_settings(environment),
        plans={name: _plan(environment, name, plan) for name, plan in PLANS.items()},
        retention=timedelta(days=environment.read("SLIPWAY_OPERATION_RETENTION_DAYS", whole(), 30)),
        command_accounts=_command_accounts(environment, accounts),
        events=_events(environment),
        telemetry=_telemetry(environment),
    )


def _account(text: str) -> Account:
    parts = text.split("/")
    if len(parts) != 3 or not all(re.fullmatch(r"(?!\.{1,2}\Z)[^\s?#%]{1,200}", part) for part in parts):
        raise ValueError
    return Account(*parts)


_ACCOUNTS = listed(Form("subscription/resource-group/account", _account))


def _command_accounts(environment: Environment, served: tuple[Account, ...]) -> tuple[Account, ...]:
    named = environment.read("SLIPWAY_COMMAND_ACCOUNTS", _ACCOUNTS, ())
    if served and {account.scope for account in named} - {account.scope for account in served}:
        environment.refuse("SLIPWAY_COMMAND_ACCOUNTS", " accepts accounts of SLIPWAY_ACCOUNTS, and names another one")
    return named


def _storage(environment: Environment) -> Mapping[str, str]:
    """As the Functions host names it; what the text means, the storage adapter knows."""
    environment.read(_STORAGE, STORAGE_ACCOUNT, "")
    environment.read(f"{_STORAGE}__accountName", Form("the name of a storage account", _storage_name), "")
    names = environment.names(_STORAGE)
    if not {_STORAGE, f"{_STORAGE}__accountName"} & set(names):
        environment.refuse(_STORAGE, f" is missing; set it to {STORAGE_ACCOUNT.accepts}, or set {_STORAGE}__accountName")
    return {name: environment.text(name) for name in names}


def _storage_name(text: str) -> str:
    if not _STORAGE_NAME.fullmatch(text):
        raise ValueError
    return text


def _tokens(environment: Environment) -> TokenSettings:
    audiences = environment.required("SLIPWAY_TOKEN_AUDIENCES", listed(TEXT), ())
    tenant = environment.read("SLIPWAY_ENTRA_TENANT", Form("the id of a Microsoft Entra tenant, a UUID", _tenant), "")
    needed = partial(environment.required, instead="SLIPWAY_ENTRA_TENANT")
    given = environment.read if environment.text("SLIPWAY_ENTRA_TENANT") else needed
    issuers, jwks_url = given("SLIPWAY_TOKEN_ISSUERS", listed(URL), ()), given("SLIPWAY_TOKEN_JWKS_URL", URL, "")
    if tenant:
        authority = "https://login.microsoftonline.com"
        both = (f"https://sts.windows.net/{tenant}/", f"{authority}/{tenant}/v2.0")
        return TokenSettings(both, audiences, f"{authority}/{tenant}/discovery/v2.0/keys")
    return TokenSettings(issuers, audiences, jwks_url)


def _tenant(text: str) -> str:
    if not _TENANT.fullmatch(text) or not text.strip("0-"):
        raise ValueError
    return text


def _events(environment: Environment) -> EventSettings | None:
    endpoint = environment.read("SLIPWAY_EVENTS_ENDPOINT", URL, "")
    if not environment.text("SLIPWAY_EVENTS_ENDPOINT"):
        environment.read("SLIPWAY_EVENTS_KEY", SECRET_TEXT, "")
        return None
    form = SECRET_TEXT if _is_event_grid(endpoint) else _SIGNING_SECRET
    return EventSettings(endpoint, environment.required("SLIPWAY_EVENTS_KEY", form, ""))


def _is_event_grid(endpoint: str) -> bool:
    return (urlsplit(endpoint).hostname or "").endswith(".eventgrid.azure.net")


def _signing_secret(text: str) -> str:
    if not base64.b64decode(text.removeprefix("whsec_"), validate=True):
        raise ValueError
    return text


_SIGNING_SECRET = Form("a signing secret: base64 behind whsec_", _signing_secret, free=True)


def _plan(environment: Environment, name: str, plan: Plan) -> Plan:
    suffix = name.upper().replace("-", "_")
    deadline = environment.read(f"SLIPWAY_DEADLINE_{suffix}", whole(), round(plan.deadline.total_seconds()))
    attempts = environment.read(f"SLIPWAY_ATTEMPTS_{suffix}", whole(), plan.attempts)
    return replace(plan, deadline=timedelta(seconds=deadline), attempts=attempts)


def _telemetry(environment: Environment) -> bool:
    """Whether any is sent. OpenTelemetry reads its variables itself, and passes over most that it does not understand."""
    for prefix in _OTLP:
        environment.read(f"{prefix}ENDPOINT", URL, "")
        environment.read(f"{prefix}COMPRESSION", word(_OtlpCompression), _OtlpCompression.NONE)
        environment.read(f"{prefix}PROTOCOL", _PROTOCOL, "")
        environment.read(f"{prefix}TIMEOUT", _TIMEOUT, 0.0)
    return any(environment.text(name) for name in _TELEMETRY)
