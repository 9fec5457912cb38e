"""The settings of compute: the node of this machine, what reaches clusters, and where services' data goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.domain.compute_resources import KUBECONFIG_SETTINGS
from shared.domain.computing import CollectionTargets
from shared.settings.connection_strings import APP_INSIGHTS, EVENT_HUB, STORAGE, STORAGE_NAME
from shared.settings.environment import Environment, Form, checked
from shared.settings.forms import HTTPS_ORIGIN, SECRET_TEXT, URL

_KUBECONFIG = Form("a kubeconfig", str, free=True)


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


def compute_settings(environment: Environment) -> ComputeSettings:
    """Settings whose `environment.check` is still to come. A kubeconfig is read by those who connect to clusters."""
    names = environment.names(KUBECONFIG_SETTINGS)
    return ComputeSettings(
        local=_local(environment),
        kubeconfigs={name: environment.read(name, _KUBECONFIG, "") for name in names},
        key_vault=environment.read("SLIPWAY_KEY_VAULT", HTTPS_ORIGIN, ""),
        targets=_targets(environment),
    )


def collection_targets(variables: Mapping[str, str]) -> CollectionTargets:
    """Where services' collected data and telemetry go; raises SettingError."""
    return checked(variables, _targets)


def _targets(environment: Environment) -> CollectionTargets:
    by_identity = environment.read("SLIPWAY_COLLECTION_STORAGE__accountName", STORAGE_NAME, "")
    return CollectionTargets(
        storage=environment.read("SLIPWAY_COLLECTION_STORAGE", STORAGE, "") or by_identity,
        event_hub=environment.read("SLIPWAY_COLLECTION_EVENT_HUB", EVENT_HUB, ""),
        app_insights=environment.read("SLIPWAY_APP_INSIGHTS", APP_INSIGHTS, ""),
    )


def _local(environment: Environment) -> LocalComputeSettings | None:
    read = environment.required if environment.text("SLIPWAY_LOCAL_COMPUTE_URL") else environment.read
    local = LocalComputeSettings(
        control_url=read("SLIPWAY_LOCAL_COMPUTE_URL", URL, ""),
        token=read("SLIPWAY_LOCAL_COMPUTE_TOKEN", SECRET_TEXT, ""),
        front_end=read("SLIPWAY_LOCAL_FRONT_END", URL, ""),
    )
    return local if local.control_url else None
