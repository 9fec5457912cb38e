"""The environment, parsed once. What is missing or malformed is an error that names the setting."""

import base64
import binascii
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.domain.accounts import Account


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
    """Where images and cached layers are kept, what they are built for, and which private sources may be fetched."""

    images: Path
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
class Settings:
    """All settings of a deployment: README, Settings."""

    accounts: tuple[Account, ...]
    secret: bytes
    storage: Mapping[str, str]
    tokens: TokenSettings
    images: ImageSettings
    local_compute: LocalComputeSettings | None


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables; raises SettingError."""
    return Settings(
        accounts=_accounts(_required(environment, "SLIPWAY_ACCOUNTS")),
        secret=_secret(_required(environment, "SLIPWAY_SECRET")),
        storage={name: value for name, value in environment.items() if name.startswith("AzureWebJobsStorage")},
        tokens=_tokens(environment),
        images=ImageSettings(
            images=Path(_required(environment, "SLIPWAY_IMAGES")).absolute(),
            cache=Path(_required(environment, "SLIPWAY_CACHE")).absolute(),
            platform=environment.get("SLIPWAY_TARGET_PLATFORM") or this_platform(),
            python=environment.get("SLIPWAY_TARGET_PYTHON") or "3.13",
            fetch_allow=_list(environment.get("SLIPWAY_FETCH_ALLOW", "")),
        ),
        local_compute=_local_compute(environment),
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


def _accounts(text: str) -> tuple[Account, ...]:
    parts = [entry.split("/") for entry in _list(text)]
    if any(len(entry) != 3 or not all(entry) for entry in parts):
        raise SettingError("SLIPWAY_ACCOUNTS accepts subscription/resource-group/account, several with commas between them.")
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


def _local_compute(environment: Mapping[str, str]) -> LocalComputeSettings | None:
    if not environment.get("SLIPWAY_LOCAL_COMPUTE_URL"):
        return None
    return LocalComputeSettings(
        control_url=_required(environment, "SLIPWAY_LOCAL_COMPUTE_URL"),
        token=_required(environment, "SLIPWAY_LOCAL_COMPUTE_TOKEN"),
        front_end=_required(environment, "SLIPWAY_LOCAL_FRONT_END"),
    )
