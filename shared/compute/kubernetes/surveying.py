"""What there is in a namespace of one account's services: what is not as recorded, what is nobody's, how the rest fares."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.claims import Claims
from shared.compute.kubernetes.diagnosis import observed
from shared.compute.kubernetes.differences import differences
from shared.compute.kubernetes.kinds import DEPLOYMENT, EVENT, POD, SECRET, Kind, Object
from shared.compute.kubernetes.names import ACCOUNT, APP, MANAGED_BY, MANAGER, SERVICE_ID, account_label, object_name
from shared.compute.kubernetes.objects import claim_name, is_claimed_by, kinds, rendered, route_kind, scaler_kind
from shared.compute.kubernetes.renewing import renew
from shared.compute.kubernetes.replicas import first_replicas, may_sleep
from shared.compute.kubernetes.routing import route_error
from shared.compute.kubernetes.scaling_status import scaling_error
from shared.domain.accounts import Account
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import Observed, ServiceSpec, Survey
from shared.domain.ids import canonical

_UNCALLED = timedelta(minutes=5)
_CLAIM = "claim of its address"

type _Found = Mapping[Kind, Mapping[str, Object]]
"""Objects by kind and name."""


@dataclass(frozen=True)
class _Closer:
    """The pods by service, and the events about them: asked for once, when something is down."""

    pods: Mapping[str, Sequence[Object]]
    events: Sequence[Object]

    def of(self, spec: ServiceSpec) -> Sequence[Object]:
        return self.pods.get(spec.service_id, ())


@dataclass(frozen=True)
class View:
    """Where is looked, and whose objects are looked for."""

    api: KubernetesApi
    claims: Claims
    cluster: ClusterSettings
    app: str


async def survey(
    view: View,
    account: Account,
    *,
    specs: Sequence[ServiceSpec],
    known: Collection[str],
    now: datetime,
) -> Survey:
    """One list a kind; and one of the pods and one of events when a service answers nothing.

    What Secrets hold for a time is renewed.
    """
    ours = f"{ACCOUNT}={account_label(account)},{MANAGED_BY}={MANAGER}"
    found = await _found(view.api, view.cluster, ours)
    await renew(view.api, specs, found[SECRET])
    claimed = await view.claims.of(ours)
    seen = {spec.service_id: _seen(view, spec, found, claimed, now) for spec in specs}
    down = [spec for spec in specs if seen[spec.service_id].error is not None]
    if down:
        closer = await _closer(view.api, ours)
        seen |= {spec.service_id: _explained(seen[spec.service_id], spec, found, closer, now) for spec in down}
    objects = [each for there_are in (*found.values(), claimed) for each in there_are.values()]
    orphans = _ids(each for each in objects if each["metadata"]["labels"].get(APP, "") == view.app) - set(known)
    leftovers = _ids(objects) & set(known) - {spec.service_id for spec in specs}
    return Survey(seen, orphans=tuple(sorted(orphans)), leftovers=tuple(sorted(leftovers)))


async def _found(api: KubernetesApi, cluster: ClusterSettings, ours: str) -> _Found:
    there_are = kinds(cluster)
    lists = await asyncio.gather(*(api.list(kind, ours) for kind in there_are))
    return {
        kind: {each["metadata"]["name"]: each for each in objects} for kind, objects in zip(there_are, lists, strict=True)
    }


def _seen(view: View, spec: ServiceSpec, found: _Found, claimed: Mapping[str, Object], now: datetime) -> Observed:
    name, cluster = object_name(spec.service_id), view.cluster
    missing, changed = _drift(view, spec, found)
    held = claimed.get(claim_name(spec, cluster))
    if held is None or not is_claimed_by(held, spec.service_id):
        missing += (_CLAIM,)
    fares = observed(found[DEPLOYMENT][name], (), now) if name in found[DEPLOYMENT] else Observed()
    route, scaler = found[route_kind(cluster)].get(name), found[scaler_kind(cluster)].get(name)
    return replace(
        fares,
        missing=missing,
        changed=changed,
        error=fares.error or (route_error(route, now, _UNCALLED) if route else None),
        scaling_error=scaling_error(scaler, now) if scaler else None,
    )


def _drift(view: View, spec: ServiceSpec, found: _Found) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The kinds that are missing, and the fields that are not as they are applied."""
    name = object_name(spec.service_id)
    replicas = _replicas(view.cluster, spec, found[DEPLOYMENT].get(name))
    wanted = {each["kind"]: each for each in rendered(spec, view.cluster, replicas=replicas, app=view.app)}
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


def _ids(objects: Iterable[Object]) -> set[str]:
    """The services that they are of."""
    return {service_id for each in objects if (service_id := canonical(_service_id(each)))}


def _service_id(labelled: Object) -> str:
    return str(labelled["metadata"]["labels"].get(SERVICE_ID, ""))
