"""The settings of images: where they go, what they are made of, what may be fetched for them, and what of it is kept."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from shared.domain.manifests import RuntimeType
from shared.registries.logins import Login, read_logins
from shared.registries.platforms import Platform
from shared.registries.references import Reference
from shared.registries.resources import RegistryResource
from shared.settings.environment import Environment, Form, checked
from shared.settings.forms import CHANNEL, CONTAINER, FOLDER, HOST_AND_PORT, HOST_PATTERN, INDEX, listed, whole, word

_MOST_BYTES = 2**44
_GIB = 1024**3
_PYTHON = re.compile(r"3\.1[2-9]")
"""The scoring server in every image needs 3.12."""
_VARIANTS = {"amd64": re.compile("v[1-4]"), "arm64": re.compile(r"v[89](?:\.[0-9])?")}


class TargetPlatform(StrEnum):
    """What images can be built for, as OCI names it."""

    LINUX_AMD64 = "linux/amd64"
    LINUX_ARM64 = "linux/arm64"
    DARWIN_AMD64 = "darwin/amd64"
    DARWIN_ARM64 = "darwin/arm64"


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
    least_bytes_a_second: int


@dataclass(frozen=True)
class PackageSettings:
    """Where packages come from, and whether sources are built."""

    indexes: tuple[str, ...] = field(repr=False)
    channels: tuple[str, ...] = field(repr=False)
    """Their URLs, too, may hold credentials."""
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
    logins: Mapping[str, Login] = field(repr=False)
    bases: Mapping[RuntimeType, str]
    platform: str
    python: str
    compression: LayerCompression
    scratch: Path
    fetch: FetchSettings
    packages: PackageSettings
    garbage: GarbageSettings


def read_image_settings(variables: Mapping[str, str]) -> ImageSettings:
    """Settings from environment variables; raises SettingError."""
    return checked(variables, image_settings)


def image_settings(environment: Environment) -> ImageSettings:
    """Settings whose `environment.check` is still to come."""
    registry = environment.read("SLIPWAY_REGISTRY", _REGISTRY, "")
    python = environment.read("SLIPWAY_TARGET_PYTHON", _PYTHON_VERSION, "3.13")
    return ImageSettings(
        images=_images(environment),
        registry=registry,
        registry_resource=environment.read("SLIPWAY_REGISTRY_RESOURCE_ID", Form("", RegistryResource.parse), None),
        logins=_logins(environment),
        bases=_bases(environment, default=f"docker.io/library/python:{python}-slim" if registry else ""),
        platform=environment.read("SLIPWAY_TARGET_PLATFORM", _PLATFORM, str(TargetPlatform.LINUX_AMD64)),
        python=python,
        compression=environment.read("SLIPWAY_LAYER_COMPRESSION", word(LayerCompression), LayerCompression.GZIP),
        scratch=environment.read("SLIPWAY_SCRATCH", FOLDER, Path(tempfile.gettempdir(), "slipway").absolute()),
        fetch=_fetch(environment),
        packages=_packages(environment),
        garbage=_garbage(environment),
    )


def _source_packages(text: str) -> SourcePackages:
    """`build` is an old word for what had no sandbox then."""
    return SourcePackages.SANDBOX if text == "build" else SourcePackages(text)


_SOURCES = Form(word(SourcePackages).accepts, _source_packages)


def _platform(text: str) -> str:
    platform = Platform.parse(text)
    TargetPlatform(platform.plain)
    if platform.variant and not _VARIANTS[platform.architecture].fullmatch(platform.variant):
        raise ValueError
    return str(platform)


_PLATFORM = Form(f"{word(TargetPlatform).accepts}, each also with a variant as in linux/amd64/v3", _platform)


def _images(environment: Environment) -> Path | None:
    """None where images go to a registry."""
    if environment.text("SLIPWAY_REGISTRY"):
        environment.read("SLIPWAY_IMAGES", FOLDER, None)
        return None
    return environment.required("SLIPWAY_IMAGES", FOLDER, Path(), instead="SLIPWAY_REGISTRY")


def _fetch(environment: Environment) -> FetchSettings:
    return FetchSettings(
        allow=environment.read("SLIPWAY_FETCH_ALLOW", listed(HOST_AND_PORT), ()),
        hosts=environment.read("SLIPWAY_FETCH_HOSTS", listed(HOST_PATTERN), ()),
        containers=environment.read("SLIPWAY_FETCH_CONTAINERS", listed(CONTAINER), ()),
        most_bytes=environment.read("SLIPWAY_MOST_FETCHED_BYTES", whole(_MOST_BYTES), 16 * _GIB),
        most_unpacked_bytes=environment.read("SLIPWAY_MOST_UNPACKED_BYTES", whole(_MOST_BYTES), 32 * _GIB),
        least_bytes_a_second=environment.read("SLIPWAY_FETCH_MIN_BYTES_PER_SECOND", whole(_MOST_BYTES, least=0), 10_240),
    )


def _packages(environment: Environment) -> PackageSettings:
    return PackageSettings(
        indexes=environment.read("SLIPWAY_PACKAGE_INDEXES", listed(INDEX), ()),
        channels=environment.read("SLIPWAY_CONDA_CHANNELS", listed(CHANNEL), ("conda-forge",)),
        sources=_sources(environment),
    )


def _sources(environment: Environment) -> SourcePackages:
    sources = environment.read("SLIPWAY_SOURCE_PACKAGES", _SOURCES, SourcePackages.SANDBOX)
    if sources is SourcePackages.ACR_TASKS and not environment.text("SLIPWAY_REGISTRY_RESOURCE_ID"):
        environment.refuse(
            "SLIPWAY_SOURCE_PACKAGES", "=acr-tasks needs SLIPWAY_REGISTRY_RESOURCE_ID, whose ACR Tasks build."
        )
    return sources


def _garbage(environment: Environment) -> GarbageSettings:
    return GarbageSettings(
        mode=environment.read("SLIPWAY_GARBAGE", word(GarbageMode), GarbageMode.REMOVE),
        layers=timedelta(days=environment.read("SLIPWAY_LAYER_RETENTION_DAYS", whole(), 30)),
        logs=timedelta(days=environment.read("SLIPWAY_BUILD_LOG_RETENTION_DAYS", whole(), 30)),
    )


def _registry(text: str) -> str:
    text = text.rstrip("/")
    if Reference.parse(f"{text}/image:1").host not in text:
        raise ValueError
    return text


def _python_version(text: str) -> str:
    if not _PYTHON.fullmatch(text):
        raise ValueError
    return text


_REGISTRY = Form("a registry's host, and what repositories' names begin with: host/prefix", _registry)
_PYTHON_VERSION = Form("a version of Python from 3.12 on, such as 3.13", _python_version)
_IMAGE = Form("", lambda text: str(Reference.parse(text)))
_LOGINS = Form("logins as Docker's config.json has them", str, free=True)


def _logins(environment: Environment) -> Mapping[str, Login]:
    text = environment.read("SLIPWAY_REGISTRY_AUTH", _LOGINS, "")
    try:
        return read_logins(text)
    except ValueError as error:
        environment.refuse("SLIPWAY_REGISTRY_AUTH", f" holds {error}")
        return {}


def _bases(environment: Environment, default: str) -> Mapping[RuntimeType, str]:
    """What images stand on; in a registry one of Python has a base in any case, since it is run by nobody who has Python."""
    defaults = {RuntimeType.PYTHON: default}
    named = {
        runtime: environment.read(f"SLIPWAY_BASE_IMAGE_{runtime.upper()}", _IMAGE, defaults.get(runtime, ""))
        for runtime in RuntimeType
    }
    return {runtime: base for runtime, base in named.items() if base}
