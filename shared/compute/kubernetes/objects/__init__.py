"""The objects that a service is made of: pure rendering, from what is asked of it to what is applied."""

from shared.compute.kubernetes.kinds import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    HTTP_ROUTE,
    INGRESS,
    NETWORK_POLICY,
    POD_DISRUPTION_BUDGET,
    SCALED_OBJECT,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
    Object,
)
from shared.compute.kubernetes.names import APP
from shared.compute.kubernetes.objects.claim import claim, claim_name, claims_in, is_claimed_by
from shared.compute.kubernetes.objects.deployment import deployment, revision
from shared.compute.kubernetes.objects.front_end import route
from shared.compute.kubernetes.objects.network import network_policy, service, service_account
from shared.compute.kubernetes.objects.scaling import disruption_budget, scaler
from shared.compute.kubernetes.objects.secret import secret
from shared.domain.compute_resources import ClusterSettings, FrontEndKind, ScalerKind
from shared.domain.computing import ServiceSpec

__all__ = [
    "KINDS",
    "claim",
    "claim_name",
    "claims_in",
    "is_claimed_by",
    "kinds",
    "of_app",
    "rendered",
    "revision",
    "route_kind",
    "scaler_kind",
    "secret",
]

_ALWAYS = (SERVICE_ACCOUNT, SECRET, NETWORK_POLICY, DEPLOYMENT, SERVICE, POD_DISRUPTION_BUDGET)
_SCALER = {ScalerKind.HPA: HORIZONTAL_POD_AUTOSCALER, ScalerKind.KEDA: SCALED_OBJECT}
_ROUTE = {FrontEndKind.INGRESS: INGRESS, FrontEndKind.GATEWAY: HTTP_ROUTE}

KINDS = (*_ALWAYS, *_SCALER.values(), *_ROUTE.values())
"""Every kind that an object of a service may have, on any cluster."""


def kinds(cluster: ClusterSettings) -> tuple[Kind, ...]:
    """Those that the objects of a service have on a cluster of these settings."""
    return (*_ALWAYS, scaler_kind(cluster), route_kind(cluster))


def scaler_kind(cluster: ClusterSettings) -> Kind:
    """The kind of what scales services there."""
    return _SCALER[cluster.scaling.kind]


def route_kind(cluster: ClusterSettings) -> Kind:
    """The kind of what leads calls to services there."""
    return _ROUTE[cluster.front_end.kind]


def of_app(made: Object, app: str) -> Object:
    """The same object, that app's. Pods do not say whose they are: another label would replace them."""
    labels = made["metadata"]["labels"] | ({APP: app} if app else {})
    return {**made, "metadata": {**made["metadata"], "labels": labels}}


def rendered(
    spec: ServiceSpec, cluster: ClusterSettings, *, replicas: int, awake: bool = False, app: str = ""
) -> tuple[Object, ...]:
    """The service's objects, in the order to apply them: what pods need, the pods, and then what leads calls to them.

    The Deployment gets `replicas`: with an autoscaler, the number there is now. While `awake`, a service that may have no
    replica keeps one: nothing can be said of a rollout that has none.
    """
    scales = scaler(spec, cluster, awake=awake)
    made = (
        service_account(spec, cluster),
        secret(spec, cluster),
        network_policy(spec, cluster),
        deployment(spec, cluster, replicas),
        service(spec, cluster),
        disruption_budget(spec, cluster),
        *([scales] if scales else []),
        route(spec, cluster),
    )
    return tuple(of_app(each, app) for each in made)
