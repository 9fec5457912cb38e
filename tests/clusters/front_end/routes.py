"""What a front end reads in the cluster: which paths lead to which pods, by Ingresses, HTTPRoutes and Services."""

from dataclasses import dataclass, replace

from tests.clusters.cluster import Cluster, Object
from tests.clusters.controllers import pod_is_ready


@dataclass(frozen=True)
class Route:
    """A path, and all below it, of the hosts (none: of any), and the pods that are ready to answer there."""

    hosts: tuple[str, ...]
    path: str
    service: str
    read_timeout: str
    """Seconds."""
    largest_body: str
    """As nginx writes sizes."""
    port: int = 0
    pods: tuple[Object, ...] = ()

    def takes(self, path: str) -> bool:
        """Whether that path is one of its own: a prefix counts by whole segments."""
        return path == self.path or path.startswith(f"{self.path}/")


async def routes(cluster: Cluster) -> list[Route]:
    """All of the namespace, still without their pods."""
    ingresses = await _items(cluster, "networking.k8s.io/v1", "ingresses")
    http_routes = await _items(cluster, "gateway.networking.k8s.io/v1", "httproutes")
    found = [route for each in ingresses for route in _of_ingress(each)]
    return found + [route for each in http_routes for route in _of_http_route(each)]


def _of_ingress(ingress: Object) -> list[Route]:
    said = ingress["metadata"].get("annotations", {})
    timeout = said.get("nginx.ingress.kubernetes.io/proxy-read-timeout", "60")
    body = said.get("nginx.ingress.kubernetes.io/proxy-body-size", "1m")
    found = []
    for rule in ingress["spec"]["rules"]:
        hosts = (rule["host"],) if "host" in rule else ()
        for path in rule["http"]["paths"]:
            assert path["pathType"] == "Prefix", path
            found.append(Route(hosts, path["path"].rstrip("/"), path["backend"]["service"]["name"], timeout, body))
    return found


def _of_http_route(route: Object) -> list[Route]:
    hosts = tuple(route["spec"].get("hostnames", ()))
    found = []
    for rule in route["spec"]["rules"]:
        for match in rule["matches"]:
            assert match["path"]["type"] == "PathPrefix", match
            timeout = rule.get("timeouts", {}).get("request", "60s").removesuffix("s")
            found.append(Route(hosts, match["path"]["value"].rstrip("/"), rule["backendRefs"][0]["name"], timeout, "0"))
    return found


async def led(cluster: Cluster, route: Route) -> Route:
    """The same with its pods; none where its Service is not there."""
    service = await cluster.request("GET", cluster.path("v1", "services", route.service))
    if service.get("kind") != "Service":
        return route
    selector = ",".join(f"{key}={value}" for key, value in service["spec"]["selector"].items())
    pods = [pod for pod in await _items(cluster, "v1", "pods", selector) if _is_an_endpoint(pod)]
    pods.sort(key=lambda pod: pod["metadata"]["name"])
    port = next((_number(pod, service["spec"]["ports"][0]["targetPort"]) for pod in pods), 0)
    return replace(route, port=port, pods=tuple(pods))


def _is_an_endpoint(pod: Object) -> bool:
    return pod_is_ready(pod) and "deletionTimestamp" not in pod["metadata"]


def _number(pod: Object, port: str | int) -> int:
    ports = pod["spec"]["containers"][0]["ports"]
    return next((each["containerPort"] for each in ports if each.get("name") == port), 0) or int(port)


async def _items(cluster: Cluster, api_version: str, plural: str, selector: str = "") -> list[Object]:
    return (await cluster.request("GET", cluster.path(api_version, plural), labelSelector=selector))["items"]
