"""The main job on a cluster: from a PUT of the compute resource to a score with a key, by images that Slipway built.

All of Slipway is real: the app under its host, the builder, the deployer, and the scoring server in the image. So are the
registry, the containers, their volumes and signals, and nginx. The API server and its controllers are the tests' own.
"""

import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from local.azurite.server import free_ports
from shared.compute.kubernetes.names import selector
from shared.compute.kubernetes.objects import KINDS
from tests.callers import Callers
from tests.clusters.whole import WholeCluster, whole_cluster
from tests.conftest import Stack
from tests.images.bases import push_base, python_layer
from tests.registries.running import registry
from tests.uploads import Road, finished
from tests.waiting import eventually

VERSIONED = """
import os
import time
from pathlib import Path

def init():
    print("the model of version {version} is loaded")

def run(body):
    if body == "where":
        return {{"uid": os.getuid(), "pid": os.getpid(), "work": written("x"), "tmp": written("/tmp/x"),
            "root": written("/opt/slipway/x"), "keys": written("/var/slipway/keys/x"),
            "primary": os.readlink("/var/slipway/keys/primary")}}
    if isinstance(body, dict):
        print("at work on a long call", flush=True)
        time.sleep(body["seconds"])
    return {{"echo": body, "version": {version}}}

def written(path):
    try:
        Path(path).write_text("x")
    except OSError as error:
        return error.strerror
    return "written"
"""
CRASHING = b"def init(): raise RuntimeError('no weights in this image')\ndef run(body): pass\n"
GREETING = b"import os\ndef init(): pass\ndef run(body): return os.environ['GREETING']\n"
REVISION = "x-slipway-revision"
DRAIN = 15
"""Seconds that a replica goes on answering before it is told to end."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[WholeCluster]:
    with whole_cluster() as running:
        yield running


@pytest.fixture(scope="module")
def api(cluster, tmp_path_factory, layer_cache) -> Iterator[httpx.Client]:
    """A client of an app that builds into a registry and knows the cluster's kubeconfig."""
    folder = tmp_path_factory.mktemp("cluster")
    with registry(folder / "registry") as host, pytest.MonkeyPatch.context() as patch:
        push_base(host, "base/python", python_layer())
        patch.setenv("SLIPWAY_REGISTRY", f"{host}/slipway")
        patch.setenv("SLIPWAY_BASE_IMAGE_PYTHON", f"{host}/base/python:1")
        patch.setenv("SLIPWAY_KUBECONFIG_TEST", cluster.cluster.kubeconfig)
        stack = Stack(folder / "home", layer_cache, free_ports(1)[0])
        stack.start()
        try:
            with stack.client() as client:
                client.described = stack.description  # type: ignore[attr-defined]
                yield client
        finally:
            stack.stop()


def road_to(api: httpx.Client, cluster: WholeCluster, kind: str, name: str = "", **front_end: str) -> Road:
    """PUT a compute resource, named after its kind by default; the way from a driver to a service there."""
    settings = {
        "connection": {"kubeconfigSetting": "SLIPWAY_KUBECONFIG_TEST"},
        "namespace": cluster.cluster.namespace,
        "frontEnd": {"address": cluster.front_end.address, "kind": kind} | front_end,
    }
    answer = api.put(f"computeResources/{name or kind}", json={"kind": "kubernetes", "cluster": settings})
    assert answer.status_code in (200, 201), answer.text
    road = Road(api, api.described)  # type: ignore[attr-defined]
    road.compute = {"id": answer.json()["id"], "type": "Cluster"}
    return road


@pytest.fixture(scope="module")
def road(api, cluster) -> Road:
    return road_to(api, cluster, "ingress")


@pytest.fixture(scope="module")
def image(road) -> str:
    return road.image(VERSIONED.format(version=1).encode())


@pytest.fixture(scope="module")
def service(road, image) -> dict[str, Any]:
    return road.service(image)


def health(service: dict[str, Any], key: str | None = None) -> httpx.Response:
    address = service["scoringUri"].removesuffix("score")
    return httpx.get(address, headers={"Authorization": f"Bearer {key}"} if key else {})


def pods_of(cluster: WholeCluster, service: dict[str, Any]) -> list[dict[str, Any]]:
    return cluster.objects("v1", "pods", selector(service["id"]))


def test_a_service_is_scored_with_its_keys_through_the_front_end_and_by_nobody_else(road, service):
    assert service["state"] == "Succeeded"
    keys = road.keys(service)
    for key in keys.values():
        assert road.score(service, [1, 2], key).json() == {"echo": [1, 2], "version": 1}
    assert road.score(service, 1, "another").status_code == 401
    assert httpx.post(service["scoringUri"], json=1).status_code == 401


def test_its_health_is_one_word_for_a_stranger_and_the_revision_for_who_sends_a_key(road, service, cluster):
    (pod,) = pods_of(cluster, service)
    revision = pod["metadata"]["labels"]["slipway.io/revision"]
    for key, told in ((None, None), ("another", None), *((key, revision) for key in road.keys(service).values())):
        answer = health(service, key)
        assert (answer.status_code, answer.text, answer.headers.get(REVISION)) == (200, "Healthy", told)


def test_its_container_may_write_to_its_work_and_nothing_else_and_is_nobody_in_particular(road, service):
    assert road.score(service, "where").json() == {
        "uid": 65532,
        "pid": 1,
        "work": "written",
        "tmp": "written",
        "root": os.strerror(errno.EROFS),
        "keys": os.strerror(errno.EROFS),
        "primary": "..data/primary",
    }


def test_a_request_keeps_its_id_through_the_front_end_and_its_log_has_it(api, road, service):
    key, request_id = road.keys(service)["primaryKey"], uuid4().hex
    headers = {"Authorization": f"Bearer {key}", "x-request-id": request_id}
    answer = httpx.post(service["scoringUri"], json={"seconds": 0}, headers=headers)
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, request_id)
    logged = [line for line in api.get(f"services/{service['id']}/logs").text.splitlines() if request_id in line]
    assert [line for line in logged if "at work on a long call" in line], logged


def test_its_logs_are_what_its_container_printed(api, service):
    printed = api.get(f"services/{service['id']}/logs").text
    assert "the model of version 1 is loaded" in printed


def test_a_key_made_anew_is_good_within_10_seconds_and_the_old_one_refused_without_a_restart(api, road, service, cluster):
    before, pods = road.keys(service), pods_of(cluster, service)
    after = api.post(f"services/{service['id']}/regenerateKeys", json={"keyType": "Primary"}).json()
    began = time.monotonic()
    eventually(lambda: road.score(service, 1, after["primaryKey"]).status_code == 200, seconds=10)
    eventually(lambda: road.score(service, 1, before["primaryKey"]).status_code == 401, seconds=10)
    assert time.monotonic() - began < 10
    assert road.score(service, 1, before["secondaryKey"]).status_code == 200
    (pod,) = pods_of(cluster, service)
    assert pod["metadata"]["uid"] == pods[0]["metadata"]["uid"]
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


@dataclass(frozen=True)
class Crashing:
    """A service that is called all the time, and an update of it whose replicas crash."""

    service: dict[str, Any]
    accepted: httpx.Response
    callers: Callers


@pytest.fixture(scope="module")
def crashing(api, road, image) -> Iterator[Crashing]:
    """It takes half a minute until a crash is one for good: other tests go on meanwhile."""
    service, broken = road.service(image), road.image(CRASHING)
    callers = Callers(road, service)
    with callers.calling(1):
        yield Crashing(service, api.put(f"services/{service['id']}", json={"imageId": broken}), callers)


@pytest.mark.usefixtures("crashing")
def test_an_update_under_load_fails_no_call_and_ends_when_only_the_new_replicas_answer(api, road, image, cluster):
    service = road.service(image, numReplicas=2)
    newer = road.image(VERSIONED.format(version=2).encode())
    quick, slow = Callers(road, service), Callers(road, service, {"seconds": DRAIN + 2})
    with quick.calling(2), slow.calling(8, after=1, once=True):
        eventually(lambda: quick.answers)
        operation = finished(api, api.put(f"services/{service['id']}", json={"imageId": newer}))
        assert operation["state"] == "Succeeded", operation
        updated = len(quick.answers)
        # Those before go on for a while, for front ends that have not heard of it, and what they work on is finished.
        eventually(lambda: len(pods_of(cluster, service)) == 2)
    assert {status for status, _ in quick.answers + slow.answers} == {200}
    assert {version for _, version in quick.answers} == {1, 2}
    assert (200, 1) in slow.answers
    assert {version for _, version in quick.answers[updated + 3 :]} == {2}


def test_an_update_that_crashes_is_rolled_back_and_its_error_has_the_last_words_of_the_crash(api, road, crashing):
    operation, service = finished(api, crashing.accepted), crashing.service
    assert (operation["state"], operation["error"]["code"]) == ("Failed", "KubernetesDeploymentFailed")
    assert operation["error"]["details"][0]["code"] == "CrashLoopBackOff"
    assert "no weights in this image" in operation["error"]["message"]
    after = api.get(f"services/{service['id']}").json()
    assert (after["state"], after["image"]["id"]) == ("Succeeded", service["image"]["id"])
    assert road.score(after, 1).json()["version"] == 1
    assert set(crashing.callers.answers) == {(200, 1)}


def test_a_deleted_service_leaves_nothing_in_the_cluster_and_no_process(api, road, image, cluster):
    service = road.service(image)
    key = road.keys(service)["primaryKey"]
    (pod,) = pods_of(cluster, service)
    assert processes_of(pod)
    assert api.delete(f"services/{service['id']}").status_code == 200
    eventually(lambda: road.score(service, 1, key).status_code == 404)
    eventually(lambda: not left_of(cluster, service))
    assert processes_of(pod) == []


def test_a_service_behind_a_gateway_is_scored_through_its_route(api, image, cluster):
    named = cluster.front_end.address.replace("127.0.0.1", "localhost")
    road = road_to(api, cluster, "gateway", gateway="public", address=named)
    accepted = [road.create(image) for _ in range(2)]
    service, other = (api.get(finished(api, each)["resourceLocation"]).json() for each in accepted)
    for each in (service, other):
        assert road.score(each, 1).status_code == 200
        assert health(each).text == "Healthy"
    assert road.score(service, 1, road.keys(other)["primaryKey"]).status_code == 401
    elsewhere = service["scoringUri"].replace("localhost", "127.0.0.1")
    assert httpx.post(elsewhere, json=1).status_code == 404, "the route is for its host only"
    assert cluster.objects("networking.k8s.io/v1", "ingresses", selector(service["id"])) == []


def left_of(cluster: WholeCluster, service: dict[str, Any]) -> list[str]:
    """The kinds of which there is an object of that service."""
    kinds = [(kind.api_version, kind.plural) for kind in KINDS] + [("v1", "pods"), ("apps/v1", "replicasets")]
    return [plural for api_version, plural in kinds if cluster.objects(api_version, plural, selector(service["id"]))]


def processes_of(pod: dict[str, Any]) -> list[str]:
    """Those of this machine that run in that pod."""
    told = f"HOSTNAME={pod['metadata']['name']}\0".encode()
    found = []
    for each in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = each.read_bytes()
        except OSError:
            continue  # it has ended, or is somebody else's
        if told in environment:
            found.append(each.parent.name)
    return found


def test_a_service_answers_where_its_compute_resource_says_and_gets_its_variables_as_they_were_written(api, cluster):
    there = road_to(api, cluster, "ingress", "accounts", path="/ml/{account}/{service}")
    odd = "hello \U0001f600 pa$$word $(HOME) ^a$"
    service = there.service(there.image(GREETING), numReplicas=1, environmentVariables={"GREETING": odd})
    assert service["scoringUri"].startswith(f"{cluster.front_end.address}/ml/")
    assert there.score(service, 1, there.keys(service)["primaryKey"]).json() == odd
