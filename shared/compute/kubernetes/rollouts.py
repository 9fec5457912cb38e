"""How a deployment fares on its cluster: one look a wake-up, mostly one call a look.

Looks take turns: at the Deployment, which says when it is done, and at its pods, which say why it is not. What lies between
two looks grows from 1 to 15 seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.diagnosis import Diagnosis, diagnosed
from shared.compute.kubernetes.failures import FAILED
from shared.compute.kubernetes.front_end import what_is_amiss
from shared.compute.kubernetes.kinds import DEPLOYMENT, POD, Object
from shared.compute.kubernetes.names import REVISION, object_name, selector
from shared.compute.kubernetes.objects import route_kind
from shared.compute.kubernetes.objects.deployment import deployment as rendered_deployment
from shared.compute.kubernetes.objects.deployment import revision
from shared.compute.kubernetes.objects.scaling import scaler
from shared.compute.kubernetes.routing import route_error, what_is_said_of
from shared.compute.kubernetes.statuses import PodView, counts, is_ready
from shared.compute.kubernetes.troubles import pod_trouble
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import Rollout, ServiceSpec
from shared.domain.errors import ServiceError
from shared.domain.operations import ErrorResponse
from shared.domain.service_settings import AutoScaler
from shared.domain.wire import Json

_LONGEST = 15
_SLOW = timedelta(minutes=1)
_LOG_LINES = 20
_GONE = Rollout(
    error=ErrorResponse(code=FAILED, message="The Deployment was deleted while it was rolled out.", status_code=500)
)


@dataclass(frozen=True)
class _Left:
    """What one look leaves to the next."""

    look: int = 0
    deployment: Object | None = None
    waiting_for: str = ""

    @classmethod
    def of(cls, left: Mapping[str, Any]) -> "_Left":
        return cls(int(left.get("look", 0)), left.get("deployment"), str(left.get("waitingFor", "")))

    def wait(self, waiting_for: str, deployment: Object) -> Rollout:
        """Look again, after twice the pause of last time. Of the Deployment, what a diagnosis reads is left."""
        kept: dict[str, Json] = {
            "metadata": {name: deployment["metadata"].get(name) or 0 for name in ("generation", "name")},
            "spec": {name: deployment["spec"][name] for name in ("replicas", "paused") if name in deployment["spec"]},
            "status": deployment.get("status", {}),
        }
        left: dict[str, Json] = {"look": self.look + 1, "deployment": kept, "waitingFor": waiting_for}
        delay = timedelta(seconds=min(2 ** min(self.look, 10), _LONGEST))
        return Rollout(waiting_for=waiting_for, delay=delay, left=left)


async def look(
    api: KubernetesApi, cluster: ClusterSettings, spec: ServiceSpec, left: Mapping[str, Json], now: datetime
) -> Rollout:
    """How the rollout fares now; ready when the front end leads to its replicas, too, and to no others."""
    before = _Left.of(left)
    if before.deployment is not None and before.look % 2:
        closer = await _closer(api, cluster, spec, before.deployment, now)
        if closer.error is None and closer.ready < closer.wanted:
            return before.wait(closer.waiting_for, before.deployment)
    deployment = await api.get(DEPLOYMENT, object_name(spec.service_id))
    if deployment is None:
        return _GONE
    found = diagnosed(deployment, (), (), now)
    if found.error is not None or (found.waiting_for and before.look % 2):
        found = await _closer(api, cluster, spec, deployment, now)
    if found.error is not None:
        return Rollout(error=(await _with_log(api, found)).error)
    if not found.done:
        return before.wait(before.waiting_for or found.waiting_for, deployment)
    health = f"{cluster.front_end.service_uri(spec.account, spec.service_name)}/"
    amiss = await what_is_amiss(health, spec.keys.primary_key, _revision(cluster, spec) if found.wanted else "")
    if amiss:
        routes = await api.list(route_kind(cluster), selector(spec.service_id))
        refused = next((error for route in routes if (error := route_error(route, now, _SLOW))), None)
        said = " ".join((f"the front end to lead to the service: {amiss}.", *map(what_is_said_of, routes))).strip()
        return Rollout(error=refused) if refused else before.wait(said, deployment)
    await _let_sleep(api, cluster, spec)
    return Rollout(ready=True)


async def _closer(
    api: KubernetesApi, cluster: ClusterSettings, spec: ServiceSpec, deployment: Object, now: datetime
) -> Diagnosis:
    """With the pods of the new template; and with the events about those that seem to be in trouble."""
    pods = await api.list(POD, f"{selector(spec.service_id)},{REVISION}={_revision(cluster, spec)}")
    suspicious = [pod["metadata"]["name"] for pod in pods if counts(pod) and _is_suspicious(pod, now)]
    events = await api.events(*suspicious[:2]) if suspicious else ()
    return diagnosed(deployment, pods, events, now)


def _revision(cluster: ClusterSettings, spec: ServiceSpec) -> str:
    return revision(rendered_deployment(spec, cluster, 0))


def _is_suspicious(pod: Object, now: datetime) -> bool:
    """Its status tells of trouble, or it has taken long: then the events about it are worth a call."""
    created = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    return not is_ready(pod) and (now - created > _SLOW or pod_trouble(PodView.of(pod, (), now)) is not None)


async def _with_log(api: KubernetesApi, found: Diagnosis) -> Diagnosis:
    """The cause is known without the log: where nodes do not give theirs, or nobody may have it, that is told beside it."""
    if found.log is None:
        return found
    log = found.log
    try:
        text = await api.log(log.pod, container=log.container, previous=log.previous, tail=_LOG_LINES)
    except ServiceError as refused:
        return found.without_log(refused.message)
    return found.with_log(text.splitlines())


async def _let_sleep(api: KubernetesApi, cluster: ClusterSettings, spec: ServiceSpec) -> None:
    """A service that may have no replica was kept awake to be seen ready; from now on it need not be."""
    settled = scaler(spec, cluster)
    if settled is not None and (spec.settings.auto_scaler or AutoScaler()).min_replicas == 0:
        await api.apply(settled)
