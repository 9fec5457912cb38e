"""How calls get to a service: an Ingress, or a route of the Gateway API. Source: client-facts.md, 28 and 33.

The scoring server answers under the service's path, so no path is rewritten.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from shared.compute.kubernetes.kinds import HTTP_ROUTE, INGRESS, Object
from shared.compute.kubernetes.names import object_name
from shared.compute.kubernetes.objects.metadata import new
from shared.compute.kubernetes.objects.pod import PORT, REQUEST_TIMEOUT
from shared.domain.compute_resources import ClusterSettings, FrontEndKind
from shared.domain.computing import ServiceSpec

_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_PATIENCE = REQUEST_TIMEOUT + 5
"""Seconds a front end waits for an answer: the scoring server is to be the one that gives up."""
_LIMITS = {
    "nginx.ingress.kubernetes.io/proxy-body-size": "100m",
    "nginx.ingress.kubernetes.io/proxy-read-timeout": str(_PATIENCE),
    "appgw.ingress.kubernetes.io/request-timeout": str(_PATIENCE),
}
"""What the controllers that AKS offers would refuse or break off, although the scoring server takes it."""


def route(spec: ServiceSpec, cluster: ClusterSettings) -> Object:
    """The Ingress or the HTTPRoute, as the cluster's settings say."""
    return (_http_route if cluster.front_end.kind is FrontEndKind.GATEWAY else _ingress)(spec, cluster)


def _ingress(spec: ServiceSpec, cluster: ClusterSettings) -> Object:
    front_end, host = cluster.front_end, _host(cluster)
    backend = {"service": {"name": object_name(spec.service_id), "port": {"name": "http"}}}
    rule: Object = {"http": {"paths": [{"path": _path(spec, cluster), "pathType": "Prefix", "backend": backend}]}}
    content: Object = {"rules": [rule]}
    if host:
        rule["host"] = host
    if front_end.ingress_class:
        content["ingressClassName"] = front_end.ingress_class
    if front_end.tls_secret:
        content["tls"] = [{"secretName": front_end.tls_secret} | ({"hosts": [host]} if host else {})]
    ingress = new(INGRESS, spec, cluster, spec=content)
    ingress["metadata"]["annotations"] = dict(_LIMITS)
    return ingress


def _http_route(spec: ServiceSpec, cluster: ClusterSettings) -> Object:
    front_end, host = cluster.front_end, _host(cluster)
    parent = {"name": front_end.gateway}
    if front_end.gateway_namespace:
        parent["namespace"] = front_end.gateway_namespace
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": _path(spec, cluster)}}],
        "backendRefs": [{"name": object_name(spec.service_id), "port": PORT}],
        "timeouts": {"request": f"{_PATIENCE}s"},
    }
    content: Object = {"parentRefs": [parent], "rules": [rule]}
    if host:
        content["hostnames"] = [host]
    return new(HTTP_ROUTE, spec, cluster, spec=content)


def _path(spec: ServiceSpec, cluster: ClusterSettings) -> str:
    """Both kinds match a prefix by whole segments: the path of `a` does not take the calls of `ab`."""
    return cluster.front_end.service_path(spec.account, spec.service_name)


def place(spec: ServiceSpec, cluster: ClusterSettings) -> str:
    """Where calls are led to it from: the host, which may be any, and the path. No two services have one in common."""
    return f"{_host(cluster) or ''}{_path(spec, cluster)}"


def places(route: Object) -> frozenset[str]:
    """Where a route takes calls, as `place` has it."""
    rules = route["spec"].get("rules") or []
    if route["kind"] == HTTP_ROUTE.kind:
        paths = [match["path"]["value"] for rule in rules for match in rule.get("matches") or [] if "path" in match]
        return frozenset(f"{host}{path}" for host in route["spec"].get("hostnames") or [""] for path in paths)
    led = ((rule.get("host", ""), path) for rule in rules for path in rule.get("http", {}).get("paths") or [])
    return frozenset(f"{host}{path.get('path', '')}" for host, path in led)


def _host(cluster: ClusterSettings) -> str | None:
    """The host of the front end's address; none for an IP address, which no rule may name."""
    host = urlsplit(cluster.front_end.address).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host if _HOST.fullmatch(host) and len(host) <= 253 else None
    return None
