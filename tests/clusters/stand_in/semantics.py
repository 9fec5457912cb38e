"""What a kube-apiserver refuses that no schema can say, for the kinds and fields that services use.

Source: k8s.io/kubernetes/pkg/apis/*/validation, and how it answered when it was tried (Kubernetes 1.36).
"""

import base64
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from shared.domain.fields import quantity
from tests.clusters.stand_in.schemas import Wrong

type Object = dict[str, Any]

_LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[ -<>-~]+")
_SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_MOST_ANNOTATIONS, _MOST_SECRET = 256 * 1024, 1024 * 1024


def wrong(document: Object, before: Object | None) -> Iterator[Wrong]:
    """All that is wrong with it, as far as it is known here; `before` is what it replaces."""
    yield from _metadata(document["metadata"])
    rules = _RULES.get(document["kind"])
    if rules is not None:
        yield from rules(document, before or {})


def untyped(document: Object) -> str | None:
    """What server-side apply cannot read at all, and answers 500 to."""
    for container in _pod_spec(document).get("containers", []):
        twice = [name for name, count in Counter(one["name"] for one in container.get("env", [])).items() if count > 1]
        if twice:
            at = f'.spec.template.spec.containers[name="{container["name"]}"].env'
            return f'{at}: duplicate entries for key [name="{twice[0]}"]'
        for amounts in container.get("resources", {}).values():
            for amount in amounts.values():
                if not _is_quantity(amount):
                    return "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    if document["kind"] == "Secret":
        return next((said for value in document.get("data", {}).values() if (said := _not_base64(value))), None)
    return None


def _is_quantity(amount: str) -> bool:
    try:
        quantity(amount)
    except ValueError:
        return re.fullmatch(r"0+(\.0*)?[a-zA-Z]*", amount) is not None
    return True


def _not_base64(value: str) -> str | None:
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        return "error decoding from json: illegal base64 data at input byte 0"
    return None


def _metadata(metadata: Object) -> Iterator[Wrong]:
    for key, value in metadata.get("labels", {}).items():
        if not _LABEL_KEY.fullmatch(key):
            yield Wrong("metadata.labels", f'Invalid value: "{key}": name part must consist of alphanumeric characters')
        if not _LABEL_VALUE.fullmatch(value):
            yield Wrong("metadata.labels", f'Invalid value: "{value}" of {key}: must be no more than 63 characters')
    size = sum(len(key.encode()) + len(value.encode()) for key, value in (metadata.get("annotations") or {}).items())
    if size > _MOST_ANNOTATIONS:
        yield Wrong("metadata.annotations", f"Too long: may not be more than {_MOST_ANNOTATIONS} bytes")


def _deployment(document: Object, before: Object) -> Iterator[Wrong]:
    spec = document["spec"]
    selected = spec["selector"].get("matchLabels", {})
    if not selected.items() <= spec["template"]["metadata"]["labels"].items():
        yield Wrong("spec.template.metadata.labels", "`selector` does not match template `labels`")
    if before and before["spec"]["selector"] != spec["selector"]:
        yield Wrong("spec.selector", "field is immutable")
    if spec.get("replicas", 1) < 0:
        yield Wrong("spec.replicas", f"Invalid value: {spec['replicas']}: must be greater than or equal to 0")
    yield from _strategy(spec.get("strategy", {}))
    yield from _pod(_pod_spec(document))


def _strategy(strategy: Object) -> Iterator[Wrong]:
    if strategy.get("type", "RollingUpdate") not in ("RollingUpdate", "Recreate"):
        yield Wrong("spec.strategy.type", f'Unsupported value: "{strategy["type"]}"')
    rolling = strategy.get("rollingUpdate", {})
    if {str(rolling.get("maxSurge", 1)), str(rolling.get("maxUnavailable", 1))} <= {"0", "0%"}:
        yield Wrong("spec.strategy.rollingUpdate.maxUnavailable", "Invalid value: 0: may not be 0 when `maxSurge` is 0")


def _pod(spec: Object) -> Iterator[Wrong]:
    for number, container in enumerate(spec.get("containers", [])):
        at = f"spec.template.spec.containers[{number}]"
        for variable in container.get("env", []):
            if not _VARIABLE.fullmatch(variable["name"]):
                yield Wrong(f"{at}.env[0].name", f'Invalid value: "{variable["name"]}": a valid environment variable name')
        resources = container.get("resources", {})
        for name, asked in resources.get("requests", {}).items():
            limit = resources.get("limits", {}).get(name)
            if limit is not None and quantity(limit) < quantity(asked):
                yield Wrong(
                    f"{at}.resources.requests", f'Invalid value: "{asked}": must be less than or equal to {name} limit'
                )
        sleeps = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if sleeps > spec.get("terminationGracePeriodSeconds", 30):
            yield Wrong(f"{at}.lifecycle.preStop.sleep", f"Invalid value: {sleeps}: must be less than the grace period")


def _secret(document: Object, before: Object) -> Iterator[Wrong]:
    data = document.get("data") or {}
    for key in data:
        if not _SECRET_KEY.fullmatch(key):
            yield Wrong(
                f"data[{key}]", f'Invalid value: "{key}": a valid config key must consist of alphanumeric characters'
            )
    if sum(len(value) * 3 // 4 for value in data.values()) > _MOST_SECRET:
        yield Wrong("data", f"Too long: may not be more than {_MOST_SECRET} bytes")
    if before and before.get("type", "Opaque") != document.get("type", "Opaque"):
        yield Wrong("type", "field is immutable")
    if before.get("immutable") and (before.get("data") or {}) != data:
        yield Wrong("data", "field is immutable when `immutable` is set")


def _autoscaler(document: Object, before: Object) -> Iterator[Wrong]:
    low, high = document["spec"].get("minReplicas", 1), document["spec"]["maxReplicas"]
    if low < 1:
        yield Wrong("spec.minReplicas", f"Invalid value: {low}: must be greater than or equal to 1")
    if high < max(low, 1):
        yield Wrong("spec.maxReplicas", f"Invalid value: {high}: must be greater than or equal to `minReplicas`")


def _ingress(document: Object, before: Object) -> Iterator[Wrong]:
    for rule in document["spec"].get("rules", []):
        for path in rule.get("http", {}).get("paths", []):
            asked = path.get("path", "/")
            if not asked.startswith("/"):
                yield Wrong("spec.rules[0].http.paths[0].path", f'Invalid value: "{asked}": must be an absolute path')
            if re.search(r"//|/\./|/\.\./|%2f|%2F|/\.{1,2}$", asked):
                yield Wrong("spec.rules[0].http.paths[0].path", f"Invalid value: \"{asked}\": must not contain '/../'")


def _network_policy(document: Object, before: Object) -> Iterator[Wrong]:
    spec = document["spec"]
    rules = [peer for rule in spec.get("egress", []) for peer in rule.get("to", [])]
    rules += [peer for rule in spec.get("ingress", []) for peer in rule.get("from", [])]
    for block in (peer["ipBlock"] for peer in rules if "ipBlock" in peer):
        cidr = ipaddress.ip_network(block["cidr"])
        for excepted in map(ipaddress.ip_network, block.get("except", [])):
            if excepted.version != cidr.version or not cidr.supernet_of(excepted):  # type: ignore[arg-type]
                yield Wrong("ipBlock.except[0]", f'Invalid value: "{excepted}": must be a strict subset of `cidr`')


def _pod_spec(document: Object) -> Object:
    found: Object = document.get("spec", {}).get("template", {}).get("spec", {}) if document["kind"] == "Deployment" else {}
    return found


_RULES: dict[str, Callable[[Object, Object], Iterator[Wrong]]] = {
    "Deployment": _deployment,
    "Secret": _secret,
    "HorizontalPodAutoscaler": _autoscaler,
    "Ingress": _ingress,
    "NetworkPolicy": _network_policy,
}
