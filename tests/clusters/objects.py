"""Objects that tests apply: small ones, and fit for a namespace that is restricted."""

from typing import Any

NAME = "one"
LABELS = {"app.kubernetes.io/name": "one", "app.kubernetes.io/managed-by": "slipway"}


def deployment(
    name: str = NAME, *, image: str = "registry.example.com/one@sha256:" + "1" * 64, **spec: Any
) -> dict[str, Any]:
    """A Deployment of one replica."""
    container = {
        "name": "scoring",
        "image": image,
        "ports": [{"containerPort": 5001}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "automountServiceAccountToken": False,
        "serviceAccountName": name,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    selected = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {**LABELS, **selected}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": selected},
            "template": {"metadata": {"labels": selected}, "spec": pod},
            **spec,
        },
    }


def service_account(name: str = NAME) -> dict[str, Any]:
    """The ServiceAccount that its pods run as."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "labels": LABELS}}


def secret(name: str = NAME, **data: str) -> dict[str, Any]:
    """A Secret of those texts, in base64."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": LABELS}, "data": data}


def scaled_object(name: str = NAME) -> dict[str, Any]:
    """A ScaledObject, which is of a kind of an extension."""
    spec = {"scaleTargetRef": {"name": name}, "triggers": [{"type": "cpu", "metadata": {"value": "50"}}]}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name}, "spec": spec}
