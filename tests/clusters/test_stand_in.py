"""What an API server refuses, and how it says so: the stand-in as a real one does, which these tests run against, too."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.reservations import ContainerResourceReservation
from shared.domain.service_settings import ServiceSettings
from tests.clusters.cluster import Cluster, Object
from tests.clusters.deployed import Deployed, deploying
from tests.clusters.objects import deployment, secret, service_account
from tests.clusters.stand_in.admission import limit_range, policy, quota
from tests.clusters.stand_in.exchange import from_yaml
from tests.clusters.stand_in.statuses import Refused

APPLY = "application/apply-patch+yaml"


def of(kind: str, api_version: str, **spec: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "one"}, "spec": spec}


def container(**changes: Any) -> Object:
    made = deployment()
    made["spec"]["template"]["spec"]["containers"][0] |= changes
    return made


def autoscaler(low: int, high: int) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "one"}
    return of("HorizontalPodAutoscaler", "autoscaling/v2", scaleTargetRef=target, minReplicas=low, maxReplicas=high)


def ingress(path: str) -> Object:
    backend = {"service": {"name": "one", "port": {"name": "http"}}}
    rules = [{"http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}]
    return of("Ingress", "networking.k8s.io/v1", rules=rules)


def block(cidr: str, excepted: str) -> Object:
    rule = {"to": [{"ipBlock": {"cidr": cidr, "except": [excepted]}}]}
    return of("NetworkPolicy", "networking.k8s.io/v1", podSelector={}, policyTypes=["Egress"], egress=[rule])


def account(**metadata: Any) -> Object:
    made = service_account()
    return {**made, "metadata": {**made["metadata"], **metadata}}


ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}
OVER = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
SLEEP = {"preStop": {"sleep": {"seconds": 60}}}
TWICE = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]

INVALID = {
    "negative replicas": deployment(replicas=-1),
    "no surge, none unavailable": deployment(strategy=ROLLING),
    "another strategy": deployment(strategy={"type": "Sideways"}),
    "a limit below its request": container(resources=OVER),
    "a preStop longer than the grace": container(lifecycle=SLEEP),
    "a variable's name": container(env=[{"name": "A=B", "value": "1"}]),
    "a label's key": account(labels={"a b": "x"}),
    "300 kB of annotations": account(annotations={"a": "x" * 300_000}),
    "a Secret's key": secret(**{"a/b": "eA=="}),
    "more than a mebibyte of a Secret": secret(a="eHh4" * 350_000),
    "no replica of an autoscaler": autoscaler(0, 3),
    "crossed bounds": autoscaler(5, 3),
    "a path that climbs": ingress("/a/../b"),
    "a relative path": ingress("a"),
    "a block's exception outside of it": block("10.0.0.0/8", "192.168.0.0/16"),
}
UNTYPED = {
    "a quantity that is none": container(resources={"limits": {"cpu": "lots"}}),
    "a Secret that is not base64": secret(a="%%%"),
    "a variable twice": container(env=TWICE),
}
PLURALS = {"Ingress": "ingresses", "NetworkPolicy": "networkpolicies"}


async def applied(cluster: Cluster, document: Object, plural: str = "") -> Object:
    api_version, kind = document["apiVersion"], document["kind"]
    path = cluster.path(api_version, plural or PLURALS.get(kind, f"{kind.lower()}s"), document["metadata"]["name"])
    manager = {"fieldManager": "slipway-test", "force": "true"}
    return await cluster.request("PATCH", path, document, content_type=APPLY, **manager)


@pytest.mark.filterwarnings("ignore:Sending a large body directly")  # that is what one of them is about
@pytest.mark.parametrize("document", INVALID.values(), ids=INVALID)
async def test_what_no_schema_can_say_is_invalid(cluster, document):
    refused = await applied(cluster, document)
    assert (refused["reason"], refused["code"]) == ("Invalid", 422)


@pytest.mark.parametrize("document", UNTYPED.values(), ids=UNTYPED)
async def test_what_server_side_apply_cannot_read_is_an_error_of_the_servers(cluster, document):
    assert (await applied(cluster, document))["code"] == 500


async def test_an_object_of_another_kind_is_not_taken(cluster):
    assert (await applied(cluster, secret(), plural="serviceaccounts"))["code"] == 400


async def test_an_apply_that_names_no_manager_or_knows_an_old_object_is_refused(cluster):
    path = cluster.path("v1", "serviceaccounts", "one")
    unnamed = await cluster.request("PATCH", path, service_account(), content_type=APPLY)
    assert (unnamed["reason"], "fieldManager" in unnamed["message"]) == ("Invalid", True)
    there = await applied(cluster, service_account())
    managed = account(managedFields=there["metadata"]["managedFields"])
    assert (await applied(cluster, managed))["message"] == "metadata.managedFields must be nil"
    assert (await applied(cluster, account(resourceVersion="1")))["reason"] == "Conflict"


async def test_what_is_asked_for_wrongly_is_refused(cluster):
    path = cluster.path("v1", "secrets")
    assert (await cluster.request("GET", path, limit="1", **{"continue": "odd!"}))["code"] == 400
    await applied(cluster, secret())
    assert "field label not supported" in (await cluster.request("GET", path, fieldSelector="spec.color=red"))["message"]
    assert (await cluster.request("PUT", path, secret()))["reason"] == "MethodNotAllowed"
    assert (await cluster.request("GET", cluster.path("v1", "nosuchkinds")))["reason"] == "NotFound"


def test_surrogate_pairs_are_not_yaml():
    with pytest.raises(Refused, match="found invalid Unicode character escape code"):
        from_yaml(json.dumps({"a": "\U0001f600"}).encode())
    assert from_yaml('{"a": "\U0001f600"}'.encode()) == {"a": "\U0001f600"}


async def test_a_pod_that_is_not_restricted_is_not_taken_where_pods_are_to_be(cluster):
    await applied(cluster, service_account())
    pod = of("Pod", "v1", serviceAccountName="one", containers=[{"name": "a", "image": "a"}])
    refused = await cluster.request("POST", cluster.path("v1", "pods"), pod)
    assert 'violates PodSecurity "restricted:latest"' in refused["message"]


# Admission, and what Slipway makes of it.


@pytest.fixture
async def service(cluster) -> AsyncIterator[Deployed]:
    async with deploying(cluster) as deployed:
        yield deployed


async def refusal(service: Deployed, spec: Any) -> Any:
    """Deploy it; the error half a minute after the cluster has not taken its pod, None when it takes it."""
    await service.compute.ensure_deployment(spec)
    template = (await service.get("apps/v1", "deployments"))["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": "one"}}
    answer = await service.cluster.request("POST", service.cluster.path("v1", "pods"), pod)
    if answer["kind"] == "Pod":
        return None
    await service.controllers.refuse_pods(service.name, answer["message"])
    service.clock.ahead = timedelta(seconds=31)
    return (await service.looked(3, spec)).error


@pytest.mark.parametrize(
    ("admission", "code"),
    [
        (quota("team", "limits.cpu"), "QuotaNeedsReservation"),
        (limit_range({"cpu": "1"}), "LimitRange"),
        (policy("signed", "images must be signed"), "AdmissionDenied"),
    ],
)
async def test_what_admission_says_of_pods_is_told_within_30_seconds_with_a_code_of_its_own(service, admission, code):
    service.cluster.needs_stand_in("quotas and policies at will").admission.append(admission)
    error = await refusal(service, service.spec)
    assert (error.status_code, error.details[0].code) == (400, code)


async def test_a_quota_on_limits_is_met_by_naming_them(service):
    service.cluster.needs_stand_in("a quota").admission.append(quota("team", "limits.cpu", "limits.memory"))
    error = await refusal(service, service.spec)
    assert "Give containerResourceReservation.cpuLimit and containerResourceReservation.memoryLimit." in error.message
    limits = ContainerResourceReservation(cpu_limit="1", memory_limit="1Gi")
    named = service.but(settings=ServiceSettings(num_replicas=1, container_resource_reservation=limits))
    assert await refusal(service, named) is None
