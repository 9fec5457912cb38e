"""How the clusters of records are reached: each way finds out where the API server is and how one signs in there."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.compute.kubernetes.azure import Azure, IdentityToken
from shared.compute.kubernetes.endpoint import ConnectionInvalid, Endpoint
from shared.compute.kubernetes.kubeconfig import Kubeconfig
from shared.compute.kubernetes.session import Connect
from shared.domain.compute_resources import ClusterConnection
from shared.settings.compute import ComputeSettings


@dataclass(frozen=True)
class Surroundings:
    """What this process stands in."""

    azure: Azure = field(default_factory=Azure)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    service_account: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    """Where a pod finds what it signs in with."""


def connecting(
    connection: ClusterConnection, settings: ComputeSettings, surroundings: Surroundings | None = None
) -> Connect:
    """What finds out about that cluster; nothing is asked yet. What it returns raises ConnectionInvalid for what is missing
    or cannot be used, ServiceError when Azure refuses, and Unavailable."""
    around = surroundings or Surroundings()
    if connection.aks_resource_id is not None:
        return _managed(connection.aks_resource_id, around.azure)
    if connection.kubeconfig_secret is not None:
        return _in_vault(connection.kubeconfig_secret, settings.key_vault, around.azure)
    if connection.kubeconfig_setting is not None:
        return _in_setting(connection.kubeconfig_setting, settings.kubeconfigs)
    return _around_this_pod(around)


def _in_setting(name: str, kubeconfigs: Mapping[str, str]) -> Connect:
    async def connect() -> Endpoint:
        text = kubeconfigs.get(name, "")
        if not text.strip():
            raise ConnectionInvalid(f"The setting {name}, which is to hold a kubeconfig, is missing.")
        return Kubeconfig.parse(text, f"of the setting {name}").endpoint()

    return connect


def _in_vault(name: str, vault: str, azure: Azure) -> Connect:
    """The secret is read at each connection: a cluster that does not know the app any more may be known by a newer one."""

    async def connect() -> Endpoint:
        if not vault:
            raise ConnectionInvalid(f"The kubeconfig is in the secret {name}, and the setting SLIPWAY_KEY_VAULT is missing.")
        return Kubeconfig.parse(await azure.secret(vault, name), f"of the secret {name}").endpoint()

    return connect


def _managed(resource_id: str, azure: Azure) -> Connect:
    """Clusters that Microsoft Entra guards are signed in to with the app's own tokens; others give the app a certificate."""

    async def connect() -> Endpoint:
        found = Kubeconfig.parse(await azure.kubeconfig(resource_id), f"of {resource_id}")
        return found.endpoint(IdentityToken(azure) if found.runs_program else None)

    return connect


def _around_this_pod(around: Surroundings) -> Connect:
    """The token is read for each call: the kubelet puts a new one in its place long before it ends."""

    async def token() -> str:
        return (await _read(around.service_account / "token")).strip()

    async def connect() -> Endpoint:
        host, port = (around.environment.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
        if not host or not port:
            raise ConnectionInvalid("This app does not run in a cluster: KUBERNETES_SERVICE_HOST is missing.")
        authority = await _read(around.service_account / "ca.crt")
        return Endpoint(f"https://{f'[{host}]' if ':' in host else host}:{port}", authority, token)

    return connect


async def _read(file: Path) -> str:
    try:
        return await asyncio.to_thread(file.read_text)
    except OSError as error:
        raise ConnectionInvalid(f"This app's pod has no service account: {file} cannot be read.") from error
