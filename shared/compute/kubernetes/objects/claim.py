"""Who is called at an address: a Secret without data, named by the address, that is created once and never overwritten.

A Secret since services need that kind anyway, as Helm's records do: no permission more is asked for.
"""

import hashlib

from shared.compute.kubernetes.kinds import SECRET, Object
from shared.compute.kubernetes.names import CLAIM, SERVICE_ID
from shared.compute.kubernetes.objects.front_end import place
from shared.compute.kubernetes.objects.metadata import new
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import ServiceSpec

_TYPE = "slipway.io/address"
_ADDRESS, _ACCOUNT = "slipway.io/address", "slipway.io/account"


def claim(spec: ServiceSpec, cluster: ClusterSettings) -> Object:
    """The claim of the service's address. It names the service, its account and its app."""
    made = new(SECRET, spec, cluster, type=_TYPE, immutable=True)
    metadata = made["metadata"]
    metadata["name"] = claim_name(spec, cluster)
    metadata["namespace"] = claims_in(cluster)
    metadata["labels"] |= {CLAIM: "address"}
    metadata["annotations"] = {_ADDRESS: place(spec, cluster), _ACCOUNT: spec.account.path}
    return made


def claims_in(cluster: ClusterSettings) -> str:
    """The namespace that claims are in."""
    return cluster.front_end.claim_namespace or cluster.namespace


def claim_name(spec: ServiceSpec, cluster: ClusterSettings) -> str:
    """Equal for services that would be called at one address, and for no others."""
    return f"slipway-address-{hashlib.sha256(place(spec, cluster).encode()).hexdigest()[:32]}"


def is_claimed_by(held: Object, service_id: str) -> bool:
    """Whether that claim is the service's."""
    return bool(held["metadata"].get("labels", {}).get(SERVICE_ID) == service_id)
