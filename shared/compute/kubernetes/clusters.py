"""The clusters of this app: one client for each way that records name to reach one."""

from shared.compute.kubernetes.access import checked
from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.connections import connecting
from shared.compute.kubernetes.deployer import KubernetesCompute
from shared.compute.kubernetes.objects import claims_in
from shared.domain.compute_resources import ClusterSettings
from shared.domain.ports import Clock
from shared.settings.compute import ComputeSettings


class KubernetesClusters:
    """Makes computes of clusters' settings; what connects to a cluster is kept, and shared."""

    def __init__(self, settings: ComputeSettings, clock: Clock, *, app: str = "") -> None:
        """`app` tells the objects of this app from those of others."""
        self._settings = settings
        self._clock = clock
        self._app = app
        self._clients: dict[str, KubernetesApi] = {}

    def compute(self, cluster: ClusterSettings) -> KubernetesCompute:
        """The compute of that cluster."""
        client, claiming = self._client(cluster, cluster.namespace), self._client(cluster, claims_in(cluster))
        return KubernetesCompute(cluster, client, self._clock, app=self._app, claiming=claiming)

    async def checked(self, cluster: ClusterSettings) -> ClusterSettings:
        """The same with what was found out; raises InvalidRequest and Unavailable."""
        client, claiming = self._client(cluster, cluster.namespace), self._client(cluster, claims_in(cluster))
        return cluster.but(scaling=await checked(client, cluster, claiming))

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    def _client(self, cluster: ClusterSettings, namespace: str) -> KubernetesApi:
        key = f"{namespace} {cluster.connection.json_text()}"
        if key not in self._clients:
            self._clients[key] = KubernetesApi(connecting(cluster.connection, self._settings), namespace)
        return self._clients[key]
