"""How many replicas there are, and how many at least while nodes come and go.

Utilization is the busy share of request slots, which pods tell as the metric `slipway_busy_ratio` (client-facts.md, 12).
Sources: autoscaling/v2; KEDA's ScaledObject, its scalers `metrics-api` and `prometheus`.
"""

from shared.compute.kubernetes.kinds import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    POD_DISRUPTION_BUDGET,
    SCALED_OBJECT,
    Object,
)
from shared.compute.kubernetes.names import object_name, pod_labels
from shared.compute.kubernetes.objects.metadata import new
from shared.compute.kubernetes.objects.pod import METRICS_PATH, PORT
from shared.domain.compute_resources import ClusterSettings, ScalerKind, Scaling, ScalingMetric
from shared.domain.computing import ServiceSpec
from shared.domain.service_settings import AutoScaler

BUSY_RATIO = "slipway_busy_ratio"
_SCALE_IN_WINDOW = 60
_NO_SHARE = 1_000_000
"""So many calls for each replica that the query for activation never asks for a second one."""


def disruption_budget(spec: ServiceSpec, cluster: ClusterSettings) -> Object:
    """One replica may be taken away at a time, the only one included: a minimum of one would keep its node for ever.

    One that is not ready may always be: it answers nothing.
    """
    budget = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": pod_labels(spec.service_id)},
    }
    return new(POD_DISRUPTION_BUDGET, spec, cluster, spec=budget)


def scaler(spec: ServiceSpec, cluster: ClusterSettings, *, awake: bool = False) -> Object | None:
    """What scales the service; None when its replicas are counted. While `awake` it has one at least."""
    wanted = spec.settings.filled().auto_scaler or AutoScaler()
    if not wanted.autoscale_enabled:
        return None
    lowest = wanted.min_replicas or 0
    if awake or not (cluster.scaling.kind is ScalerKind.KEDA and cluster.scaling.from_zero):
        lowest = max(lowest, 1)
    kind = {ScalerKind.HPA: _autoscaler, ScalerKind.KEDA: _scaled_object}[cluster.scaling.kind]
    return kind(spec, cluster, wanted, lowest)


def _autoscaler(spec: ServiceSpec, cluster: ClusterSettings, wanted: AutoScaler, lowest: int) -> Object:
    metric = _slots if cluster.scaling.metric is ScalingMetric.SLOTS else _processor_time
    content = {
        "scaleTargetRef": _target(spec),
        "minReplicas": lowest,
        "maxReplicas": wanted.max_replicas,
        "metrics": [metric(_percent(wanted))],
        "behavior": _behavior(wanted),
    }
    return new(HORIZONTAL_POD_AUTOSCALER, spec, cluster, spec=content)


def _slots(percent: int) -> Object:
    target = {"type": "AverageValue", "averageValue": f"{percent * 10}m"}
    return {"type": "Pods", "pods": {"metric": {"name": BUSY_RATIO}, "target": target}}


def _processor_time(percent: int) -> Object:
    return {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}},
    }


def _scaled_object(spec: ServiceSpec, cluster: ClusterSettings, wanted: AutoScaler, lowest: int) -> Object:
    activation = [_activation(spec, cluster.scaling)] if cluster.scaling.from_zero else []
    content = {
        "scaleTargetRef": _target(spec),
        "minReplicaCount": lowest,
        "maxReplicaCount": wanted.max_replicas,
        "pollingInterval": wanted.refresh_period_in_seconds,
        "cooldownPeriod": _SCALE_IN_WINDOW,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(wanted)}},
        "triggers": [_busy_share(spec, cluster, wanted), *activation],
    }
    return new(SCALED_OBJECT, spec, cluster, spec=content)


def _busy_share(spec: ServiceSpec, cluster: ClusterSettings, wanted: AutoScaler) -> Object:
    """The mean over all replicas, as `Value`: a KEDA that cannot ask each (before 2.19) asks one, which is a fair sample.

    The metric is looked at as often as the service wants (`useCachedMetrics`), not as often as the autoscaler asks KEDA.
    """
    return {
        "type": "metrics-api",
        "name": "busy-share",
        "metricType": "Value",
        "useCachedMetrics": True,
        "metadata": {
            "url": f"http://{object_name(spec.service_id)}.{cluster.namespace}.svc:{PORT}{METRICS_PATH}",
            "format": "prometheus",
            "valueLocation": BUSY_RATIO,
            "targetValue": f"{_percent(wanted) / 100:.2f}",
            "aggregateFromKubeServiceEndpoints": "true",
            "aggregationType": "average",
        },
    }


def _activation(spec: ServiceSpec, scaling: Scaling) -> Object:
    """Brings a service that has no replica its first; how many more there are, the busy share decides."""
    return {
        "type": "prometheus",
        "name": "calls",
        "metadata": {
            "serverAddress": scaling.prometheus_address,
            "query": (scaling.activation_query or "").replace("{service}", spec.service_name),
            "threshold": str(_NO_SHARE),
            "activationThreshold": "0",
        },
    }


def _target(spec: ServiceSpec) -> Object:
    return {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.kind, "name": object_name(spec.service_id)}


def _percent(wanted: AutoScaler) -> int:
    """The target; for 0, which no autoscaler takes, the least there is: either way any load asks for all replicas."""
    return max(wanted.target_utilization or 0, 1)


def _behavior(wanted: AutoScaler) -> Object:
    at_once = {"type": "Pods", "value": wanted.max_replicas, "periodSeconds": 15}
    return {
        "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [at_once]},
        "scaleDown": {"stabilizationWindowSeconds": _SCALE_IN_WINDOW},
    }
