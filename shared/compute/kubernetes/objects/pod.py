"""The pods of a service: one container with the scoring server, as the *restricted* Pod Security Standard has it.

Sources: Kubernetes' Pod Security Standards and pod lifecycle; client-facts.md, 27 to 29.
"""

from typing import Any

from shared.compute.environment import image_version, service_environment
from shared.compute.kubernetes.kinds import Object
from shared.compute.kubernetes.names import REVISION, labels, object_name, pod_labels
from shared.compute.kubernetes.objects.secret import GRANT, KEYS, targets, targets_digest
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import ServiceSpec
from shared.domain.reservations import ContainerResourceReservation, smaller

CONTAINER = "scoring"
PORT = 5001
REQUEST_TIMEOUT = 60
METRICS_PATH = "/metrics"

START_TIMEOUT = 300
"""Seconds from the container's start to the driver's being ready; then it is started again."""
_START_PERIOD = 2
_DRAIN = 15
"""Seconds a pod goes on answering when it is to stop: so long, front ends may not have heard of it."""
_TO_EXIT = 15

_KEYS = "/var/slipway/keys"
_WORK = "/var/slipway/work"
_DEFAULT_REQUESTS = {"cpu": "250m", "memory": "512Mi"}
"""Of a service that reserves nothing. An autoscaler on processor time needs a request to take its percentage of."""


def pod_template(spec: ServiceSpec, cluster: ClusterSettings) -> Object:
    """The template of the service's pods, without the label that tells its revision."""
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT), "prometheus.io/path": METRICS_PATH}
    if digest := targets_digest(spec):
        annotations["slipway.io/targets"] = digest
    return {"metadata": {"labels": labels(spec), "annotations": annotations}, "spec": _pod(spec, cluster)}


def _pod(spec: ServiceSpec, cluster: ClusterSettings) -> Object:
    pod = {
        "serviceAccountName": object_name(spec.service_id),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "topologySpreadConstraints": [_spread(spec)],
        "terminationGracePeriodSeconds": _DRAIN + REQUEST_TIMEOUT + _TO_EXIT,
        "containers": [_container(spec, cluster)],
        "volumes": [
            {"name": "keys", "secret": {"secretName": object_name(spec.service_id), "items": _files(spec)}},
            {"name": "work", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if cluster.registry and cluster.registry.pull_secret:
        pod["imagePullSecrets"] = [{"name": cluster.registry.pull_secret}]
    return pod


def _spread(spec: ServiceSpec) -> Object:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": pod_labels(spec.service_id)},
        "matchLabelKeys": ["pod-template-hash"],
    }


def _files(spec: ServiceSpec) -> list[dict[str, str]]:
    return [{"key": entry, "path": entry} for entry in (*KEYS, *({GRANT} & targets(spec).keys()))]


def _container(spec: ServiceSpec, cluster: ClusterSettings) -> Object:
    return {
        "name": CONTAINER,
        "image": image(spec, cluster),
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "env": _environment(spec, cluster),
        "resources": _resources(spec.settings.container_resource_reservation or ContainerResourceReservation()),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        },
        "startupProbe": _probe("ready", period=_START_PERIOD, failures=START_TIMEOUT // _START_PERIOD),
        "readinessProbe": _probe("ready", period=5, failures=3),
        "livenessProbe": _probe("live", period=10, failures=6),
        "lifecycle": {"preStop": {"sleep": {"seconds": _DRAIN}}},
        "volumeMounts": [
            {"name": "keys", "mountPath": _KEYS, "readOnly": True},
            {"name": "work", "mountPath": _WORK},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the container's own
        ],
    }


def image(spec: ServiceSpec, cluster: ClusterSettings) -> str:
    """The image by digest, from the registry that the cluster pulls from."""
    name = spec.image_location.removesuffix(f":{image_version(spec.image_location)}")
    registry, _, repository = name.partition("/")
    host = cluster.registry.host if cluster.registry else registry
    return f"{host}/{repository}@{spec.image_digest}"


def _environment(spec: ServiceSpec, cluster: ClusterSettings) -> list[Object]:
    path = cluster.front_end.service_path(spec.account, spec.service_name)
    settings = spec.settings.filled()
    plain: dict[str, Any] = {
        **(settings.environment_variables or {}),
        "SLIPWAY_MAX_CONCURRENCY": settings.max_concurrent_requests_per_container,
        "SLIPWAY_KEYS": _KEYS,
        "SLIPWAY_WORKING_DIRECTORY": _WORK,
        "HOME": "/tmp",  # noqa: S108  libraries keep caches at home, and nothing else is writable
        **service_environment(spec.service_name, spec.image_location, settings, path),
    }
    secret = object_name(spec.service_id)
    sources: dict[str, Object] = {
        "SLIPWAY_REVISION": {"fieldRef": {"fieldPath": f"metadata.labels['{REVISION}']"}},
        **{variable: {"secretKeyRef": {"name": secret, "key": entry}} for entry, (variable, _) in targets(spec).items()},
    }
    return [{"name": name, "value": _verbatim(str(value))} for name, value in plain.items()] + [
        {"name": name, "valueFrom": source} for name, source in sources.items()
    ]


def _verbatim(value: str) -> str:
    """The value as the kubelet hands it on unchanged: it takes `$(NAME)` for a reference, and `$$` for one `$`."""
    return value.replace("$", "$$")


def _resources(reservation: ContainerResourceReservation) -> Object:
    """What is reserved is requested. Memory is limited to it, too, unless the limit is named: it cannot be taken back;
    processor time can."""
    limits = _given(cpu=reservation.cpu_limit, memory=reservation.memory_limit or reservation.memory)
    defaults = {name: smaller(usual, limits.get(name, usual)) for name, usual in _DEFAULT_REQUESTS.items()}
    requests = {"requests": defaults | _given(cpu=reservation.cpu, memory=reservation.memory)}
    return requests | ({"limits": limits} if limits else {})


def _given(**quantities: str | None) -> dict[str, str]:
    return {name: value for name, value in quantities.items() if value is not None}


def _probe(path: str, *, period: int, failures: int) -> Object:
    return {
        "httpGet": {"path": f"/healthz/{path}", "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
