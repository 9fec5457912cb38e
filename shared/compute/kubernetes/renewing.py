"""What adds to collected data ends after some days: the Secrets of services that run get what has been signed since."""

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.kinds import SECRET, Object
from shared.compute.kubernetes.names import object_name
from shared.compute.kubernetes.objects.secret import GRANT, SIGNATURE, target_entries, targets, unsigned
from shared.domain.computing import ServiceSpec


async def renew(api: KubernetesApi, specs: Sequence[ServiceSpec], secrets: Mapping[str, Object]) -> None:
    """Put it into those of these Secrets, by name, that hold an older one; kubelets hand it to the pods, which go on.

    A Secret that holds none waits for a deployment. What is as good is taken for what is wanted: each instance of the app
    may sign in its own way.
    """
    for spec in specs:
        secret = secrets.get(object_name(spec.service_id), {})
        if GRANT in targets(spec) and GRANT in (secret.get("data") or {}):
            await _renew(api, secret, target_entries(spec)[GRANT])


async def _renew(api: KubernetesApi, secret: Object, grant: str) -> None:
    if _good_for(secret["data"][GRANT]) != _good_for(grant):
        await api.merge(SECRET, secret["metadata"]["name"], {"data": {GRANT: grant}})
    secret["data"][GRANT] = grant


def _good_for(encoded: str) -> tuple[str, list[str]]:
    """For which storage, and until when."""
    text = base64.b64decode(encoded).decode(errors="replace")
    return unsigned(text), parse_qs(text.partition(SIGNATURE)[2]).get("se", [text])
