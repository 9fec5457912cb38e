"""What there is in a namespace of one account's services: what is not as recorded, what is nobody's, how the rest fares."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.diagnosis import observed
from shared.compute.kubernetes.differences import differences
from shared.compute.kubernetes.kinds import DEPLOYMENT, EVENT, POD, Kind, Object
from shared.compute.kubernetes.names import ACCOUNT, MANAGED_BY, MANAGER, SERVICE_ID, account_label, object_name
from shared.compute.kubernetes.objects import kinds, rendered, route_kind, scaler_kind
from shared.compute.kubernetes.replicas import first_replicas, may_sleep
from shared.compute.kubernetes.routing import route_error
from shared.compute.kubernetes.scaling_status import scaling_error
from shared.domain.accounts import Account
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import Observed, ServiceSpec, Survey
from shared.domain.ids import canonical

_UNCALLED = timedelta(minutes=5)

type _Found = Mapping[Kind, Mapping[str, Object]]
"""Objects by kind and name."""


@dataclass(frozen=True)
class _Closer:
    """The pods by service, and the events about them: asked for once, when something is down."""

    pods: Mapping[str, Sequence[Object]]
    events: Sequence[Object]

    def of(self, spec: ServiceSpec) -> Sequence[Object]:
        return self.pods.get(spec.service_id, ())


async def survey(
    api: KubernetesApi,
    cluster: ClusterSettings,
    account: Account,
    *,
    specs: Sequence[ServiceSpec],
    known: Collection[str],
    now: datetime,
) -> Survey:
    """One list a kind; and one of the pods and one of events when a service answers nothing."""
    ours = f"{ACCOUNT}={account_label(account)},{MANAGED_BY}={MANAGER}"
    there_are = kinds(cluster)
    lists = await asyncio.gather(*(api.list(kind, ours) for kind in there_are))
    found = {
        kind: {each["metadata"]["name"]: each for each in objects} for kind, objects in zip(there_are, lists, strict=True)
    }
    seen = {spec.service_id: _seen(cluster, spec, found, now) for spec in specs}
    down = [spec for spec in specs if seen[spec.service_id].error is not None]
    if down:
        closer = await _closer(api, ours)
        seen |= {spec.service_id: _explained(seen[spec.service_id], spec, found, closer, now) for spec in down}
    ids = _ids(found)
    leftovers = ids & set(known) - {spec.service_id for spec in specs}
    return Survey(seen, orphans=tuple(sorted(ids - set(known))), leftovers=tuple(sorted(leftovers)))


def _seen(cluster: ClusterSettings, spec: ServiceSpec, found: _Found, now: datetime) -> Observed:
    name = object_name(spec.service_id)
    missing, changed = _drift(cluster, spec, found)
    fares = observed(found[DEPLOYMENT][name], (), now) if name in found[DEPLOYMENT] else Observed()
    route, scaler = found[route_kind(cluster)].get(name), found[scaler_kind(cluster)].get(name)
    return replace(
        fares,
        missing=missing,
        changed=changed,
        error=fares.error or (route_error(route, now, _UNCALLED) if route else None),
        scaling_error=scaling_error(scaler, now) if scaler else None,
    )


def _drift(cluster: ClusterSettings, spec: ServiceSpec, found: _Found) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The kinds that are missing, and the fields that are not as they are applied."""
    name = object_name(spec.service_id)
    deployment = found[DEPLOYMENT].get(name)
    wanted = {each["kind"]: each for each in rendered(spec, cluster, replicas=_replicas(cluster, spec, deployment))}
    missing, changed = [], []
    for kind, objects in found.items():
        expected, live = wanted.get(kind.kind), objects.get(name)
        if expected is not None and live is None:
            missing.append(kind.kind)
        elif live is not None:
            changed += [f"{kind.kind} {path}" for path in _differs(expected, live)]
    return tuple(missing), tuple(changed)


def _differs(expected: Object | None, live: Object) -> Sequence[str]:
    return ("that is not to be there",) if expected is None else differences(expected, live)


def _replicas(cluster: ClusterSettings, spec: ServiceSpec, deployment: Object | None) -> int:
    """How many there are to be: what an autoscaler has set stays, none included where a service may sleep."""
    running = int(deployment["spec"].get("replicas", 1)) if deployment else 0
    return 0 if running == 0 and may_sleep(spec.settings, cluster) else first_replicas(spec.settings, running)


async def _closer(api: KubernetesApi, ours: str) -> _Closer:
    pods, events = await asyncio.gather(api.list(POD, ours), api.list(EVENT))
    by_service: dict[str, list[Object]] = {}
    for pod in pods:
        by_service.setdefault(_service_id(pod), []).append(pod)
    return _Closer(by_service, events)


def _explained(seen: Observed, spec: ServiceSpec, found: _Found, closer: _Closer, now: datetime) -> Observed:
    """The same with the cause that pods and events tell of; or it has not been down for so long, by its pods."""
    deployment = found[DEPLOYMENT].get(object_name(spec.service_id))
    if deployment is None:
        return seen
    fares = observed(deployment, closer.of(spec), now, closer.events)
    return replace(seen, error=fares.error or (seen.error if fares.ready else None), ready=fares.ready)


def _ids(found: _Found) -> set[str]:
    return set(_canonical(each for objects in found.values() for each in objects.values()))


def _canonical(objects: Iterable[Object]) -> Iterator[str]:
    for each in objects:
        if service_id := canonical(_service_id(each)):
            yield service_id


def _service_id(labelled: Object) -> str:
    return str(labelled["metadata"]["labels"].get(SERVICE_ID, ""))
