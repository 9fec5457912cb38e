"""What all objects of a service have in common: kind, name, namespace and labels."""

from typing import Any

from shared.compute.kubernetes.kinds import Kind, Object
from shared.compute.kubernetes.names import labels, object_name
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import ServiceSpec


def new(kind: Kind, spec: ServiceSpec, cluster: ClusterSettings, /, **content: Any) -> Object:
    """An object of that kind, of that service, with that content."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": object_name(spec.service_id),
            "namespace": cluster.namespace,
            "labels": labels(spec),
        },
        **content,
    }
