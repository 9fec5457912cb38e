"""The environment that a container is started with, by what its pod says."""

import base64
import re

from tests.clusters.cluster import Cluster, Object

_LABEL = re.compile(r"metadata\.labels\['([^']+)'\]")


async def environment_of(cluster: Cluster, pod: Object) -> dict[str, str]:
    """What the first container's `env` comes to: values, labels of the pod, and entries of Secrets."""
    return {each["name"]: await _value(cluster, pod, each) for each in pod["spec"]["containers"][0].get("env", [])}


async def _value(cluster: Cluster, pod: Object, variable: Object) -> str:
    source = variable.get("valueFrom", {})
    if "fieldRef" in source:
        label = _LABEL.fullmatch(source["fieldRef"]["fieldPath"])
        assert label, source
        return pod["metadata"]["labels"].get(label[1], "")
    if "secretKeyRef" in source:
        named = source["secretKeyRef"]
        secret = await cluster.request("GET", cluster.path("v1", "secrets", named["name"]))
        return base64.b64decode(secret["data"][named["key"]]).decode()
    return _expanded(variable.get("value", ""))


def _expanded(value: str) -> str:
    """A kubelet writes one `$` for two; references to other variables are none of Slipway's."""
    return value.replace("$$", "$")
