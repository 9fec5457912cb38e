"""Compute on this machine: a client of the node that runs services as local processes, and what the two say.

The node learns the digests of a service's keys, never the keys.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Self
from urllib.parse import urlencode

from shared.domain.accounts import Account
from shared.domain.computing import LogQuery, ReplicaLog, Rollout, ServiceSpec, Survey
from shared.domain.errors import Conflict, DeployFailed, NotFound, ServiceError, Throttled, Unavailable, foreign
from shared.domain.fencing import check_fence
from shared.domain.operations import ErrorResponse
from shared.domain.retry_after import retry_after
from shared.domain.service_settings import ServiceSettings
from shared.domain.services import AuthKeys
from shared.domain.wire import Json, Wire

_TIMEOUT = 15.0
_REMOVAL_TIMEOUT = 90.0  # requests under way are given a minute to finish, processes a few seconds to stop


class KeyDigests(Wire):
    """SHA-256 digests, in hex, of the two keys of a service."""

    primary: str
    secondary: str

    @classmethod
    def of(cls, keys: AuthKeys) -> Self:
        """Those of the keys."""
        return cls(primary=digest_of(keys.primary_key), secondary=digest_of(keys.secondary_key))


def digest_of(key: str) -> str:
    """The digest by which a key is known; bytes of a header that are no text count as they came."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


class DeploymentRequest(Wire):
    """One deployment of a service, as the node is asked for it. `account` is the account's scope."""

    account: str
    service_name: str
    image_location: str
    image_digest: str
    settings: ServiceSettings
    keys: KeyDigests


class RolloutStatus(Wire):
    """How a deployment fares, as the node answers it: the port's Rollout."""

    ready: bool = False
    error: ErrorResponse | None = None
    waiting_for: str = ""


class PrintedLog(Wire):
    """What one replica printed, as the node answers it."""

    replica: str
    lines: tuple[str, ...]


class ReplicaLogs(Wire):
    """The logs of a service, as the node answers them."""

    logs: tuple[PrintedLog, ...]


class LocalProcessCompute:
    """The port Compute, over the node's control API."""

    def __init__(self, control_url: str, token: str, front_end: str) -> None:
        self._control_url = control_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._front_end = front_end.rstrip("/")

    @property
    def supervises(self) -> bool:
        """The node starts again what ends."""
        return True

    def scoring_uri(self, account: Account, service_name: str) -> str:
        """Where that service is called (client-facts.md, 33)."""
        return f"{self._front_end}/api/v1/service/{service_name}/score"

    def check(self, settings: ServiceSettings) -> None:
        """The node takes all settings there are."""

    async def ensure_deployment(self, spec: ServiceSpec) -> None:
        """Begin to make this the deployment that answers; the one before answers until this one is ready.

        Raises Conflict when another account has a service of that name on this node.
        """
        request = DeploymentRequest(
            account=spec.account.scope,
            service_name=spec.service_name,
            image_location=spec.image_location,
            image_digest=spec.image_digest,
            settings=spec.settings.filled(),
            keys=KeyDigests.of(spec.keys),
        )
        await self._call("PUT", f"{spec.service_id}/deployments/{spec.deployment_id}", request)

    async def rollout(self, spec: ServiceSpec, left: Mapping[str, Json]) -> Rollout:
        """How that deployment fares; raises NotFound when the node was never asked for it."""
        body = await self._call("GET", f"{spec.service_id}/deployments/{spec.deployment_id}")
        status = RolloutStatus.model_validate_json(body)
        return Rollout(ready=status.ready, error=status.error, waiting_for=status.waiting_for)

    async def ensure_rolled_back(self, service_id: str, deployment_id: str, worked: ServiceSpec | None) -> None:
        """Give that deployment up. Where it answers calls already, what answered before comes back, without a gap."""
        await self._call("DELETE", f"{service_id}/deployments/{deployment_id}")

    async def ensure_keys(self, service_id: str, keys: AuthKeys) -> None:
        """From the moment this returns, these keys are good and no others."""
        await self._call("PUT", f"{service_id}/keys", KeyDigests.of(keys))

    async def ensure_withdrawn(self, service_id: str) -> None:
        """From the moment this returns, the service takes no more calls; those under way may finish."""
        await self._call("DELETE", f"{service_id}/route")

    async def ensure_removed(self, service_id: str) -> str:
        """Nothing of the service is left running; returns when requests under way have finished, or a minute has passed."""
        await self._call("DELETE", service_id, within=_REMOVAL_TIMEOUT)
        return ""

    async def logs(self, service_id: str, query: LogQuery) -> Sequence[ReplicaLog]:
        """What its replicas have printed, those of deployments that failed included."""
        since = query.since.isoformat() if query.since else ""
        asked = urlencode({"tail": query.tail, "since": since, "replica": query.replica or ""})
        body = await self._call("GET", f"{service_id}/logs?{asked}")
        return [ReplicaLog(log.replica, "", log.lines) for log in ReplicaLogs.model_validate_json(body).logs]

    async def survey(self, account: Account, specs: Sequence[ServiceSpec], known: Collection[str]) -> Survey:
        """Never asked for: there is nothing to tell."""
        return Survey()

    async def _call(self, method: str, path: str, body: Wire | None = None, *, within: float = _TIMEOUT) -> bytes:
        import aiohttp  # noqa: PLC0415  a cold start that deploys nothing does without

        url = f"{self._control_url}/services/{path}"
        content = body.json_text() if body else None
        check_fence()
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(within)) as session,
                session.request(method, url, data=content) as answer,
            ):
                answered = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"The compute node is away: {type(error).__name__}.") from error
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(answer.status, answer.headers, answered)
        return answered


def _refusal(status: int, headers: Mapping[str, str], body: bytes) -> ServiceError:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable(f"The compute node answered {status}.", retry_after=retry_after(headers))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled("The compute node asks for patience.", retry_after=retry_after(headers))
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return ServiceError("The compute node refused the token of this deployment.", code="ComputeUnauthorized")
    message, code = _explanation(body, f"The compute node answered {status}.")
    kinds: dict[int, type[ServiceError]] = {404: NotFound, 409: Conflict}
    return kinds.get(status, DeployFailed)(message, code=code)


def _explanation(body: bytes, otherwise: str) -> tuple[str, str | None]:
    try:
        error = ErrorResponse.model_validate_json(body)
    except ValueError:
        return otherwise, None
    return foreign(error.message), error.code
