"""The environment that a container is started with, by what its pod says."""

import base64
import re

from tests.clusters.cluster import Cluster, Object

_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_LABEL = re.compile(r"metadata\.labels\['([^']+)'\]")


async def environment_of(cluster: Cluster, pod: Object) -> dict[str, str]:
    """What the first container's `env` comes to: values, labels of the pod, and entries of Secrets."""
    environment: dict[str, str] = {}
    for variable in pod["spec"]["containers"][0].get("env", []):
        if "valueFrom" in variable:
            environment[variable["name"]] = await _looked_up(cluster, pod, variable["valueFrom"])
        else:
            environment[variable["name"]] = expanded(variable.get("value", ""), environment)
    return environment


async def _looked_up(cluster: Cluster, pod: Object, source: Object) -> str:
    if "fieldRef" in source:
        label = _LABEL.fullmatch(source["fieldRef"]["fieldPath"])
        assert label, source
        return pod["metadata"]["labels"].get(label[1], "")
    named = source["secretKeyRef"]
    secret = await cluster.request("GET", cluster.path("v1", "secrets", named["name"]))
    return base64.b64decode(secret["data"][named["key"]]).decode()


def expanded(value: str, known: dict[str, str]) -> str:
    """As the API reference of EnvVar has it: `$(NAME)` is a variable from before, if there is one, and `$$` is `$`."""
    return _REFERENCE.sub(lambda found: "$" if found[0] == "$$" else known.get(found[1], found[0]), value)
