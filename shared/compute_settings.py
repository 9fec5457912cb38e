"""The settings of compute: the node of this machine, what reaches clusters, and where services' data goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from shared.domain.compute_resources import KUBECONFIG_SETTINGS
from shared.domain.computing import CollectionTargets
from shared.environment import SettingError, required


@dataclass(frozen=True)
class LocalComputeSettings:
    """The compute node on this machine."""

    control_url: str
    token: str = field(repr=False)
    front_end: str


@dataclass(frozen=True)
class ComputeSettings:
    """What compute resources stand on."""

    local: LocalComputeSettings | None
    kubeconfigs: Mapping[str, str] = field(repr=False)
    """Kubeconfigs by the names of their settings."""
    key_vault: str
    """The URL of the vault that holds others; empty for none."""
    targets: CollectionTargets


def read_compute_settings(environment: Mapping[str, str]) -> ComputeSettings:
    """Settings from environment variables; raises SettingError."""
    return ComputeSettings(
        local=_local(environment),
        kubeconfigs={name: text for name, text in environment.items() if name.startswith(KUBECONFIG_SETTINGS)},
        key_vault=_key_vault(environment),
        targets=collection_targets(environment),
    )


def collection_targets(environment: Mapping[str, str]) -> CollectionTargets:
    """Where services' collected data and telemetry go."""
    return CollectionTargets(
        storage=environment.get("SLIPWAY_COLLECTION_STORAGE", "") or _by_identity(environment),
        event_hub=environment.get("SLIPWAY_COLLECTION_EVENT_HUB", ""),
        app_insights=environment.get("SLIPWAY_APP_INSIGHTS", ""),
    )


def _by_identity(environment: Mapping[str, str]) -> str:
    name = environment.get("SLIPWAY_COLLECTION_STORAGE__accountName", "")
    return f"AccountName={name}" if name else ""


def _local(environment: Mapping[str, str]) -> LocalComputeSettings | None:
    if not environment.get("SLIPWAY_LOCAL_COMPUTE_URL"):
        return None
    return LocalComputeSettings(
        control_url=required(environment, "SLIPWAY_LOCAL_COMPUTE_URL"),
        token=required(environment, "SLIPWAY_LOCAL_COMPUTE_TOKEN"),
        front_end=required(environment, "SLIPWAY_LOCAL_FRONT_END"),
    )


def _key_vault(environment: Mapping[str, str]) -> str:
    url = environment.get("SLIPWAY_KEY_VAULT", "").strip()
    if url and urlsplit(url).scheme != "https":
        raise SettingError("SLIPWAY_KEY_VAULT accepts the https URL of a key vault.")
    return url
