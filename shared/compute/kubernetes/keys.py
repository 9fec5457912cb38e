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
_UNTOLD = "slipway.io/keys-untold"
"""Of the Secret: its pods are still to be told of its keys."""


async def ensure_keys(api: KubernetesApi, service_id: str, keys: AuthKeys) -> None:
    """The Secret holds these keys. Where it did not, each pod is annotated: a kubelet that sees its pod change looks at
    its mounted Secrets at once, and not within a minute or two. The Secret's other entries are left alone: an update may
    be changing them.

    Raises Unavailable while the Secret is not there.
    """
    name, wanted = object_name(service_id), key_entries(keys)
    secret = await api.get(SECRET, name)
    if secret is not None and _settled(secret, wanted):
        return
    if secret is None or not await api.merge(SECRET, name, _untold(wanted)):
        raise Unavailable(
            "The Secret with this service's keys is not in the cluster: it comes with the first deployment, and is put back "
            "within minutes when somebody deletes it."
        )
    pods = await api.list(POD, selector(service_id))
    notice = {_NOTICE: hashlib.sha256("\0".join(wanted.values()).encode()).hexdigest()[:16]}
    await asyncio.gather(*(api.annotate(POD, pod["metadata"]["name"], notice) for pod in pods))
    await api.annotate(SECRET, name, {_UNTOLD: None})


def _settled(secret: Object, wanted: dict[str, str]) -> bool:
    told = _UNTOLD not in secret["metadata"].get("annotations", {})
    return told and wanted.items() <= (secret.get("data") or {}).items()


def _untold(wanted: dict[str, str]) -> Object:
    return {"metadata": {"annotations": {_UNTOLD: "true"}}, "data": wanted}
