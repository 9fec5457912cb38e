"""The settings of images: where they go, what they are made of, what may be fetched for them, and what of it is kept."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

from shared.domain.manifests import RuntimeType
from shared.environment import SettingError, listed, number, one_of, required
from shared.registries.logins import Login, read_logins
from shared.registries.references import Reference
from shared.registries.resources import RegistryResource

_MOST_BYTES = 2**44
_GIB = 1024**3


class LayerCompression(StrEnum):
    """How layers are compressed."""

    GZIP = "gzip"
    ZSTD = "zstd"


class SourcePackages(StrEnum):
    """What becomes of packages that are published as source only."""

    SANDBOX = "sandbox"
    ACR_TASKS = "acr-tasks"
    REFUSE = "refuse"
    TRUST = "trust"


class GarbageMode(StrEnum):
    """What the timer does with garbage."""

    REMOVE = "remove"
    DRY_RUN = "dry-run"
    OFF = "off"


@dataclass(frozen=True)
class FetchSettings:
    """What may be fetched, and how much of it."""

    allow: tuple[str, ...]
    hosts: tuple[str, ...]
    containers: tuple[str, ...]
    most_bytes: int
    most_unpacked_bytes: int


@dataclass(frozen=True)
class PackageSettings:
    """Where packages come from, and whether sources are built."""

    indexes: tuple[str, ...]
    channels: tuple[str, ...]
    sources: SourcePackages


@dataclass(frozen=True)
class GarbageSettings:
    """What becomes of what nobody needs any more, and when."""

    mode: GarbageMode
    layers: timedelta
    logs: timedelta


@dataclass(frozen=True)
class ImageSettings:
    """Where images go, what they stand on, are for and are made of; `scratch` is a folder of this machine to work in."""

    images: Path | None
    registry: str
    registry_resource: RegistryResource | None
    logins: Mapping[str, Login]
    bases: Mapping[RuntimeType, str]
    platform: str
    python: str
    compression: LayerCompression
    scratch: Path
    fetch: FetchSettings
    packages: PackageSettings
    garbage: GarbageSettings


def read_image_settings(environment: Mapping[str, str]) -> ImageSettings:
    """Settings from environment variables; raises SettingError."""
    registry = _registry(environment.get("SLIPWAY_REGISTRY", "").strip().rstrip("/"))
    scratch = environment.get("SLIPWAY_SCRATCH", "").strip() or f"{tempfile.gettempdir()}/slipway"
    return ImageSettings(
        images=None if registry else Path(required(environment, "SLIPWAY_IMAGES")).absolute(),
        registry=registry,
        registry_resource=_resource(environment.get("SLIPWAY_REGISTRY_RESOURCE_ID", "")),
        logins=_logins(environment.get("SLIPWAY_REGISTRY_AUTH", "")),
        bases=_bases(environment),
        platform=environment.get("SLIPWAY_TARGET_PLATFORM") or "linux/amd64",
        python=environment.get("SLIPWAY_TARGET_PYTHON") or "3.13",
        compression=one_of(environment, "SLIPWAY_LAYER_COMPRESSION", LayerCompression, LayerCompression.GZIP),
        scratch=Path(scratch).absolute(),
        fetch=_fetch(environment),
        packages=PackageSettings(
            indexes=listed(environment, "SLIPWAY_PACKAGE_INDEXES"),
            channels=listed(environment, "SLIPWAY_CONDA_CHANNELS") or ("conda-forge",),
            sources=_sources(environment),
        ),
        garbage=GarbageSettings(
            mode=one_of(environment, "SLIPWAY_GARBAGE", GarbageMode, GarbageMode.REMOVE),
            layers=timedelta(days=number(environment, "SLIPWAY_LAYER_RETENTION_DAYS", 30)),
            logs=timedelta(days=number(environment, "SLIPWAY_BUILD_LOG_RETENTION_DAYS", 30)),
        ),
    )


def _sources(environment: Mapping[str, str]) -> SourcePackages:
    name = "SLIPWAY_SOURCE_PACKAGES"
    if environment.get(name, "").strip() == "build":  # what the sandbox was called before there was one
        return SourcePackages.SANDBOX
    sources = one_of(environment, name, SourcePackages, SourcePackages.SANDBOX)
    if sources is SourcePackages.ACR_TASKS and not environment.get("SLIPWAY_REGISTRY_RESOURCE_ID", "").strip():
        raise SettingError(f"{name}=acr-tasks needs SLIPWAY_REGISTRY_RESOURCE_ID: the registry whose ACR Tasks build them.")
    return sources


def _fetch(environment: Mapping[str, str]) -> FetchSettings:
    return FetchSettings(
        allow=listed(environment, "SLIPWAY_FETCH_ALLOW"),
        hosts=listed(environment, "SLIPWAY_FETCH_HOSTS"),
        containers=listed(environment, "SLIPWAY_FETCH_CONTAINERS"),
        most_bytes=number(environment, "SLIPWAY_MOST_FETCHED_BYTES", 16 * _GIB, _MOST_BYTES),
        most_unpacked_bytes=number(environment, "SLIPWAY_MOST_UNPACKED_BYTES", 32 * _GIB, _MOST_BYTES),
    )


def _registry(text: str) -> str:
    try:
        return text if not text or Reference.parse(f"{text}/image:1").host in text else _refuse_registry()
    except ValueError:
        return _refuse_registry()


def _refuse_registry() -> NoReturn:
    raise SettingError("SLIPWAY_REGISTRY accepts a registry's host, and what repositories' names begin with: host/prefix.")


def _resource(text: str) -> RegistryResource | None:
    try:
        return RegistryResource.parse(text) if text.strip() else None
    except ValueError as error:
        raise SettingError(f"SLIPWAY_REGISTRY_RESOURCE_ID: {error}.") from None


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
