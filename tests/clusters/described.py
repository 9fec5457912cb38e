"""Settings of the cluster of a test."""

from typing import Any

from shared.domain.compute_resources import ClusterSettings
from tests.clusters.cluster import Cluster

INGRESS = {"address": "https://models.example.com"}
GATEWAY = {**INGRESS, "kind": "gateway", "gateway": "public"}


def settings(cluster: Cluster, **more: Any) -> ClusterSettings:
    """As a record has them; how the cluster is reached is of no account here."""
    given = {"connection": {"inCluster": True}, "namespace": cluster.namespace, "frontEnd": INGRESS, **more}
    return ClusterSettings.model_validate(given, strict=False)
