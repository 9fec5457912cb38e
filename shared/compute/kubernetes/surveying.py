"""What there is in a namespace of one account's services: what is missing, what is nobody's, how the rest fares."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.diagnosis import observed
from shared.compute.kubernetes.kinds import DEPLOYMENT, POD, SECRET, Kind, Object
from shared.compute.kubernetes.names import ACCOUNT, MANAGED_BY, MANAGER, SERVICE_ID, account_label, object_name, selector
from shared.compute.kubernetes.objects import kinds, rendered
from shared.compute.kubernetes.renewing import renew
from shared.domain.accounts import Account
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import Observed, ServiceSpec, Survey
from shared.domain.ids import canonical

type _Found = Mapping[Kind, Mapping[str, Object]]
"""Objects by kind and name."""


async def survey(
    api: KubernetesApi,
    cluster: ClusterSettings,
    account: Account,
    *,
    specs: Sequence[ServiceSpec],
    known: Collection[str],
    now: datetime,
) -> Survey:
    """One list a kind, and the pods of those services that answer nothing. What their Secrets hold for a time is renewed."""
    ours = f"{ACCOUNT}={account_label(account)},{MANAGED_BY}={MANAGER}"
    there_are = kinds(cluster)
    lists = await asyncio.gather(*(api.list(kind, ours) for kind in there_are))
    found = {
        kind: {each["metadata"]["name"]: each for each in objects} for kind, objects in zip(there_are, lists, strict=True)
    }
    await renew(api, specs, found[SECRET])
    seen = await asyncio.gather(*(_seen(api, cluster, spec, found, now) for spec in specs))
    services = {spec.service_id: each for spec, each in zip(specs, seen, strict=True)}
    return Survey(services, _orphans(found, known))


async def _seen(api: KubernetesApi, cluster: ClusterSettings, spec: ServiceSpec, found: _Found, now: datetime) -> Observed:
    name = object_name(spec.service_id)
    wanted = {each["kind"] for each in rendered(spec, cluster, replicas=0)}
    missing = tuple(kind.kind for kind, objects in found.items() if kind.kind in wanted and name not in objects)
    if missing:
        return Observed(missing=missing)
    deployment = found[DEPLOYMENT][name]
    fares = observed(deployment, (), now)
    return fares if fares.error is None else observed(deployment, await api.list(POD, selector(spec.service_id)), now)


def _orphans(found: _Found, known: Collection[str]) -> tuple[str, ...]:
    labels = (each["metadata"]["labels"] for objects in found.values() for each in objects.values())
    ids = {canonical(label.get(SERVICE_ID, "")) for label in labels}
    return tuple(sorted(service_id for service_id in ids if service_id and service_id not in known))
