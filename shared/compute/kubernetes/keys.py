"""Keys in the cluster: a Secret that the pods of a service have mounted as files."""

import asyncio
import hashlib

from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.kinds import POD, SECRET, Object
from shared.compute.kubernetes.names import object_name, selector
from shared.compute.kubernetes.objects.secret import key_entries
from shared.domain.errors import Unavailable
from shared.domain.services import AuthKeys

_NOTICE = "slipway.io/keys"


async def ensure_keys(api: KubernetesApi, service_id: str, keys: AuthKeys) -> None:
    """The Secret holds these keys. Where it did not, each pod is annotated: a kubelet that sees its pod change looks at
    its mounted Secrets at once, and not within a minute or two.

    Raises Unavailable while the Secret is not there.
    """
    name = object_name(service_id)
    secret = await api.get(SECRET, name)
    if secret is None:
        raise Unavailable("The cluster has lost the Secret with this service's keys; it is put back within minutes.")
    data = secret.get("data") or {}
    wanted = key_entries(keys)
    if wanted.items() <= data.items():
        return
    await api.apply(_with_data(secret, {**data, **wanted}))
    pods = await api.list(POD, selector(service_id))
    notice = {_NOTICE: hashlib.sha256("\0".join(wanted.values()).encode()).hexdigest()[:16]}
    await asyncio.gather(*(api.annotate(POD, pod["metadata"]["name"], notice) for pod in pods))


def _with_data(secret: Object, data: dict[str, str]) -> Object:
    """The Secret as this app says it; what the API server adds is not ours to say."""
    metadata = {name: secret["metadata"][name] for name in ("name", "namespace", "labels") if name in secret["metadata"]}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": secret.get("type", "Opaque"), "data": data}
