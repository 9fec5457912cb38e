"""The kinds that are served: Kubernetes' own, as far as services need them, and those of CustomResourceDefinitions."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Resource:
    """A kind; `status` tells whether its status is a subresource."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True
    status: bool = True

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    @property
    def named(self) -> str:
        """As in messages: `deployments.apps`."""
        return f"{self.plural}.{self.group}".rstrip(".")


NAMESPACES = Resource("v1", "Namespace", "namespaces", namespaced=False)
SERVICE_ACCOUNTS = Resource("v1", "ServiceAccount", "serviceaccounts", status=False)
DEFINITIONS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
OWN = (
    NAMESPACES,
    SERVICE_ACCOUNTS,
    DEFINITIONS,
    Resource("v1", "Secret", "secrets", status=False),
    Resource("v1", "ConfigMap", "configmaps", status=False),
    Resource("v1", "Service", "services"),
    Resource("v1", "Pod", "pods"),
    Resource("v1", "Event", "events", status=False),
    Resource("apps/v1", "Deployment", "deployments"),
    Resource("apps/v1", "ReplicaSet", "replicasets"),
    Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", status=False),
    Resource("networking.k8s.io/v1", "Ingress", "ingresses"),
    Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
)


def defined(definition: dict[str, Any]) -> list[Resource]:
    """What a CustomResourceDefinition defines."""
    spec = definition["spec"]
    return [
        Resource(
            f"{spec['group']}/{version['name']}",
            spec["names"]["kind"],
            spec["names"]["plural"],
            namespaced=spec["scope"] == "Namespaced",
            status="status" in version.get("subresources", {}),
        )
        for version in spec["versions"]
        if version["served"]
    ]


def group_list(versions: set[str]) -> dict[str, Any]:
    """`GET /apis`."""
    groups = sorted({version.rpartition("/")[0] for version in versions})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(one, versions) for one in groups]}


def group(name: str, versions: set[str]) -> dict[str, Any]:
    """`GET /apis/{group}`."""
    served = [
        {"groupVersion": one, "version": one.rpartition("/")[2]} for one in sorted(versions) if one.startswith(f"{name}/")
    ]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": served, "preferredVersion": served[0]}


def resource_list(api_version: str, resources: list[Resource]) -> dict[str, Any]:
    """`GET /apis/{group}/{version}`."""
    verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    listed = [
        {
            "name": one.plural,
            "singularName": one.kind.lower(),
            "namespaced": one.namespaced,
            "kind": one.kind,
            "verbs": verbs,
        }
        for one in resources
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": listed}
