"""Whether what the settings name answers, and lets the app in. Nothing there is changed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from urllib.parse import urljoin

import aiohttp
from azure.core.exceptions import AzureError, ClientAuthenticationError

from admin.findings import Finding
from shared.building import made_registries
from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.connections import connecting
from shared.compute.kubernetes.kinds import POD
from shared.domain.compute_resources import ClusterConnection
from shared.domain.errors import ServiceError, foreign
from shared.identity.keys import published_keys
from shared.images.base import BaseImages
from shared.registries.authority import Access
from shared.registries.references import Reference
from shared.registries.registries import Registries
from shared.settings import Settings
from shared.settings.images import ImageSettings
from shared.storage.account import SERVICES, check_service
from shared.storage.connection import StorageConnection

_SECONDS = 30.0

type Check = Callable[[], Awaitable[str]]
"""Says what it found; raises when that must be mended."""


async def network_findings(settings: Settings) -> AsyncIterator[Finding]:
    """All checks, one after the other."""
    async with AsyncExitStack() as opened:
        registries = made_registries(settings.images, opened)
        for what, check, remedy in _checks(settings, registries):
            yield await _finding(what, check, remedy)


def _checks(settings: Settings, registries: Registries) -> Iterator[tuple[str, Check, str]]:
    """What is checked, how, and what to do when it fails."""
    tokens, images = settings.tokens, settings.images
    yield "issuer", partial(_issuer, tokens.jwks_url), "see SLIPWAY_ENTRA_TENANT, or SLIPWAY_TOKEN_JWKS_URL"
    for service in SERVICES:
        check = partial(_storage, StorageConnection.from_settings(settings.storage), service)
        yield f"storage, {service}", check, "see AzureWebJobsStorage, and the roles of the app's identity there"
    if images.registry:
        yield "registry", partial(_registry, registries, images), "see SLIPWAY_REGISTRY and SLIPWAY_REGISTRY_AUTH"
    for runtime, base in images.bases.items():
        remedy = f"see SLIPWAY_BASE_IMAGE_{runtime.upper()} and SLIPWAY_TARGET_PLATFORM"
        yield f"base image, {runtime}", partial(_base, registries, images, base), remedy
    for name in settings.compute.kubeconfigs:
        yield f"cluster, {name}", partial(_cluster, settings, name), f"see {name}"


async def _finding(what: str, check: Check, remedy: str) -> Finding:
    try:
        async with asyncio.timeout(_SECONDS):
            return Finding.ok(what, await check())
    except ServiceError as error:
        reason = error.message
    except ClientAuthenticationError as error:
        reason = f"the app's identity cannot sign in: {str(error).partition('\n')[0]}"
    except TimeoutError:
        reason = "no answer in time"
    except (aiohttp.ClientError, AzureError, OSError, ValueError, TypeError, LookupError) as error:
        reason = str(error) or type(error).__name__
    return Finding.wrong(what, f"{foreign(reason, 500).rstrip('.')}; {remedy}.")


async def _issuer(url: str) -> str:
    keys = await published_keys(url)
    if not keys:
        raise ServiceError(f"{url} publishes no key that tokens are checked with")
    return f"{url} publishes what tokens are checked with: {', '.join(sorted(map(str, keys))[:10])}."


async def _storage(connection: StorageConnection, service: str) -> str:
    return f"{await check_service(connection, service)} lets the app in."


async def _registry(registries: Registries, images: ImageSettings) -> str:
    """Signed in to for a push, which is begun and cancelled: that is when registries ask who one is."""
    reference = Reference.parse(f"{images.registry}/slipway-check:1")
    registry = registries.registry(reference.host, reference.repository)
    access = Access(reference.repository, "pull,push")
    uploads = f"{registry.url}/v2/{reference.repository}/blobs/uploads/"
    async with await registry.send("POST", uploads, access) as answer:
        if answer.status != 202:
            raise ServiceError(f"{reference.host} answers {answer.status} to a push into {reference.repository}")
        begun = urljoin(uploads, answer.headers.get("Location", ""))
    async with await registry.send("DELETE", begun, access):
        return f"{reference.host} lets the app push."


async def _base(registries: Registries, images: ImageSettings, base: str) -> str:
    return f"{base} is {(await BaseImages(registries, images.platform).pin(base)).rpartition('@')[2]}."


async def _cluster(settings: Settings, name: str) -> str:
    """Signed in to: everybody may ask for the version, and only who is known for a review."""
    api = KubernetesApi(connecting(ClusterConnection(kubeconfig_setting=name), settings.compute), "default")
    try:
        version = await api.version()
        await api.review("list", POD)
    finally:
        await api.close()
    return f"Kubernetes {version} lets the app in."
