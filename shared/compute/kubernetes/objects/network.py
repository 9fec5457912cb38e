"""Who reaches the pods of a service, and whom they reach: ServiceAccount, Service and NetworkPolicy."""

from shared.compute.kubernetes.kinds import NETWORK_POLICY, SERVICE, SERVICE_ACCOUNT, Object
from shared.compute.kubernetes.names import pod_labels
from shared.compute.kubernetes.objects.metadata import new
from shared.compute.kubernetes.objects.pod import PORT
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import ServiceSpec

_CLOUD_METADATA = ["169.254.169.254/32", "168.63.129.16/32"]
"""Where a node's own credentials are had: Azure's instance metadata and its wire server. A driver is foreign code."""
_DNS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]


def service_account(spec: ServiceSpec, cluster: ClusterSettings) -> Object:
    """Pods run as nobody in particular, and get no token of the cluster."""
    return new(SERVICE_ACCOUNT, spec, cluster, automountServiceAccountToken=False)


def service(spec: ServiceSpec, cluster: ClusterSettings) -> Object:
    """The Service. Its port is the pods' own: KEDA looks for the port of an address among those of the pods."""
    ports = [{"name": "http", "protocol": "TCP", "port": PORT, "targetPort": "http"}]
    selects = pod_labels(spec.service_id)
    return new(SERVICE, spec, cluster, spec={"type": "ClusterIP", "selector": selects, "ports": ports})


def network_policy(spec: ServiceSpec, cluster: ClusterSettings) -> Object:
    """Pods are reached at the scoring port only, and reach all but the node's credentials.

    Pods are named besides addresses, since some network plugins do not count a pod as an address; names are looked up
    anywhere, since a cluster's DNS cache may have a link-local address.
    """
    anywhere = [
        {"namespaceSelector": {}},
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": _CLOUD_METADATA}},
        {"ipBlock": {"cidr": "::/0"}},
    ]
    policy = {
        "podSelector": {"matchLabels": pod_labels(spec.service_id)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": PORT}]}],
        "egress": [{"ports": _DNS}, {"to": anywhere}],
    }
    return new(NETWORK_POLICY, spec, cluster, spec=policy)
