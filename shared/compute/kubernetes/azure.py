"""What Azure says of clusters, by the app's own identity: kubeconfigs of managed clusters and of key vaults, and tokens."""

import asyncio
import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.compute.kubernetes.endpoint import ConnectionInvalid
from shared.domain.errors import ServiceError, Unavailable, foreign
from shared.domain.retry_after import retry_after

if TYPE_CHECKING:
    from azure.keyvault.secrets.aio import SecretClient

AKS_SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
"""The Microsoft Entra application that the API servers of all managed clusters are."""
_ARM = "https://management.azure.com"
_API_VERSION = "2025-10-01"
_AWAY = "ClusterCredentialsAway"
_EARLY = 300.0
"""Seconds before a token ends that it counts as ended: a call and two clocks that differ fit in between."""


def own_identity() -> Any:
    """The app's identity, to be used as a context."""
    from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415  # a cold start without clusters does without

    return DefaultAzureCredential()


@dataclass(frozen=True)
class Azure:
    """Azure, as this app sees it. What is opened for a question is closed after it."""

    identity: Callable[[], Any] = own_identity
    transport: Callable[[], Any] | None = None

    async def secret(self, vault: str, name: str) -> str:
        """A secret's newest version. Raises ConnectionInvalid when it is not there."""
        with _translated(f"the secret {name} of {vault}"):
            async with self.identity() as identity, self._client(vault, identity) as client:
                return (await client.get_secret(name)).value or ""

    async def kubeconfig(self, resource_id: str) -> str:
        """The kubeconfig of a managed cluster's users, which names its API server and the program that signs in."""
        from azure.core import AsyncPipelineClient  # noqa: PLC0415
        from azure.core.rest import AsyncHttpResponse, HttpRequest  # noqa: PLC0415

        query = {"api-version": _API_VERSION, "format": "exec"}
        request = HttpRequest("POST", f"{_ARM}{resource_id}/listClusterUserCredential", params=query)
        with _translated(f"the managed cluster {resource_id.rpartition('/')[2]}"):
            async with self.identity() as identity:
                client: AsyncPipelineClient[HttpRequest, AsyncHttpResponse]
                async with AsyncPipelineClient(_ARM, policies=_policies(identity), **self._given()) as client:
                    answer = await client.send_request(request)
                    answer.raise_for_status()
                    return base64.b64decode(answer.json()["kubeconfigs"][0]["value"]).decode()

    async def token(self, scope: str) -> tuple[str, float]:
        """A token of the app's identity, and when it ends."""
        with _translated("a token of this app's identity"):
            async with self.identity() as identity:
                given = await identity.get_token(scope)
                return given.token, given.expires_on

    def _client(self, vault: str, identity: Any) -> "SecretClient":
        from azure.keyvault.secrets.aio import SecretClient  # noqa: PLC0415

        return SecretClient(vault, identity, retry_total=0, **self._given())

    def _given(self) -> dict[str, Any]:
        return {"transport": self.transport()} if self.transport is not None else {}


class IdentityToken:
    """Tokens of the app's identity for managed clusters, each used until shortly before it ends."""

    def __init__(self, azure: Azure, now: Callable[[], float] = time.time) -> None:
        self._azure = azure
        self._now = now
        self._held = ""
        self._ends = 0.0
        self._renewing = asyncio.Lock()

    async def __call__(self) -> str:
        """A token that is good now."""
        async with self._renewing:
            if self._now() >= self._ends - _EARLY:
                self._held, self._ends = await self._azure.token(AKS_SCOPE)
            return self._held


def _policies(identity: Any) -> list[Any]:
    from azure.core.pipeline import policies  # noqa: PLC0415

    signing = policies.AsyncBearerTokenCredentialPolicy(identity, f"{_ARM}/.default")
    return [policies.UserAgentPolicy("slipway"), signing]


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Errors of the SDK. What is refused does not heal; a sign-in that fails before it is may."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError  # noqa: PLC0415

    try:
        yield
    except HttpResponseError as error:
        status = error.status_code or 0
        if status == 404:
            raise ConnectionInvalid(f"Azure has not got {what}.") from error
        if status in (401, 403) or isinstance(error, ClientAuthenticationError):
            said = f"Azure does not give this app {what} ({status or 'no sign-in'}): {foreign(error.message)}"
            raise ServiceError(said, code="ClusterCredentialsDenied", retryable=not status) from error
        pause = retry_after(getattr(error.response, "headers", None) or {})
        raise Unavailable(f"Azure could not give {what} ({status}).", code=_AWAY, retry_after=pause) from error
    except (AzureError, LookupError, TypeError, ValueError) as error:  # the last three for an answer of another shape
        said = f"Azure could not give {what}: {type(error).__name__}."
        raise Unavailable(said, code=_AWAY) from error
