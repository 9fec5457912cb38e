"""The kinds of compute: an adapter for each record of a compute resource. Source: client-facts.md, 34."""

from collections.abc import Callable
from typing import Protocol

from shared.domain.compute_resources import ClusterSettings, ComputeKind, ComputeResourceRequest
from shared.domain.computing import Compute
from shared.domain.errors import InvalidRequest, Unavailable


class Clusters(Protocol):
    """What makes a compute of a cluster's settings."""

    def compute(self, cluster: ClusterSettings) -> Compute:
        """The compute of that cluster."""

    async def checked(self, cluster: ClusterSettings) -> ClusterSettings:
        """The same with what was found out; raises InvalidRequest and Unavailable."""


class KindsOfCompute:
    """The port ComputeKinds. `clusters` is called when the first cluster is asked for: a client of clusters is slow to
    import."""

    def __init__(self, local: Compute | None, clusters: Callable[[], Clusters]) -> None:
        self._local = local
        self._clusters = clusters

    @property
    def local(self) -> bool:
        """Whether the settings give a compute node."""
        return self._local is not None

    def compute(self, settings: ComputeResourceRequest) -> Compute:
        """The compute of that record; raises Unavailable when it is local and the settings give no node any more."""
        if settings.cluster is not None:
            return self._clusters().compute(settings.cluster)
        if self._local is None:
            raise Unavailable("The settings of this app give no compute node of its machine.", retryable=False)
        return self._local

    async def checked(self, settings: ComputeResourceRequest) -> ComputeResourceRequest:
        """The same with what was found out; raises InvalidRequest and Unavailable."""
        if settings.cluster is not None:
            return settings.but(cluster=await self._clusters().checked(settings.cluster))
        if self._local is None:
            raise InvalidRequest(
                f"kind: got '{ComputeKind.LOCAL}', and the settings of this app give no compute node; accepts "
                f"'{ComputeKind.KUBERNETES}'."
            )
        return settings
