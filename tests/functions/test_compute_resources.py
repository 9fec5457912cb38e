"""Compute resources by HTTP: an extension of the API, by the same conventions."""

import json
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest

from tests.uploads import Road, finished


@pytest.fixture(scope="module")
def image(stack) -> str:
    with stack.client() as api:
        return Road(api, stack.description).image()


CLUSTER = {
    "kind": "kubernetes",
    "cluster": {
        "connection": {"kubeconfigSetting": "SLIPWAY_KUBECONFIG_NONE"},
        "frontEnd": {"address": "https://scoring.example.com"},
    },
}


def test_the_node_of_this_machine_is_there_from_the_start(api):
    (shown,) = api.get("computeResources").json()["value"]
    assert (shown["name"], shown["kind"]) == ("local", "local")
    assert shown == api.get("computeResources/LOCAL").json()
    assert shown["id"].endswith("/operationalizationClusters/local")
    refused = api.delete("computeResources/local")
    assert (refused.status_code, refused.json()["code"]) == (409, "ComputeInSettings")


def test_a_resource_is_put_shown_listed_and_deleted(api):
    assert api.get("computeResources/other").status_code == 404
    put = api.put("computeResources/other", json={"kind": "local"})
    assert put.status_code == 200, put.text
    assert api.get("computeResources/other").json() == put.json()
    first = api.get("computeResources", params={"count": 1}).json()
    rest = httpx.get(first["nextLink"], headers={"Authorization": api.headers["Authorization"]}).json()
    assert {shown["name"] for shown in (*first["value"], *rest["value"])} == {"local", "other"}
    assert api.delete("computeResources/other").status_code == 200
    assert api.delete("computeResources/other").status_code == 204


def test_putting_may_be_repeated(api):
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"Repeatability-Request-ID": str(uuid4()), "Repeatability-First-Sent": now}
    first, again = (api.put("computeResources/twice", json={"kind": "local"}, headers=headers) for _ in range(2))
    assert (first.status_code, first.json()) == (200, again.json())
    assert again.headers["Repeatability-Result"] == "accepted"
    api.delete("computeResources/twice")


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("a b", {"kind": "local"}, "name: got"),
        ("other", {}, "kind: required"),
        ("other", {"kind": "vm"}, "'local' or 'kubernetes'"),
        ("other", {**CLUSTER, "kind": "local"}, "cluster with kind kubernetes, and only then"),
        ("other", CLUSTER, "SLIPWAY_KUBECONFIG_NONE"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(api, name, body, said):
    refused = api.put(f"computeResources/{name}", json=body)
    assert refused.status_code == 400, refused.text
    assert said in refused.json()["message"]
    assert api.get("computeResources/other").status_code == 404


def test_readers_may_look_and_not_put(stack):
    with stack.client(stack.token("Slipway.Reader")) as reader:
        assert reader.get("computeResources").status_code == 200
        assert reader.put("computeResources/other", json={"kind": "local"}).status_code == 403
        assert reader.delete("computeResources/other").status_code == 403


def test_the_logs_of_a_service_are_those_of_its_replicas(api, road, image):
    service = road.service(image)
    log = api.get(f"services/{service['id']}/logs", params={"tail": 5})
    assert log.headers["content-type"] == "text/plain; charset=utf-8"
    head, *lines = log.text.splitlines()
    assert head.startswith("==> ")
    assert 1 <= len(lines) <= 5
    assert json.loads(lines[-1])["timestamp"]
    replica = head.split()[1]
    assert api.get(f"services/{service['id']}/logs", params={"replica": replica, "since": "3600"}).text.startswith(head)
    assert api.get(f"services/{service['id']}/logs", params={"replica": "another"}).text == ""
    assert api.get(f"services/{service['id']}/logs", params={"since": "2200-01-01T00:00:00Z"}).text == f"{head}\n"


def test_the_logs_of_a_service_that_failed_are_there(api, road):
    driver = b"def init():\n    raise RuntimeError('there is no model')\n\ndef run(body):\n    return body\n"
    image = finished(api, road.build(road.manifest(driver=driver)))["resourceLocation"].rpartition("/")[2]
    operation = finished(api, road.create(image))
    assert operation["state"] == "Failed"
    log = api.get(operation["resourceLocation"].removeprefix(str(api.base_url)) + "/logs").text
    assert "\n    RuntimeError: there is no model\n" in log


def test_nothing_that_a_driver_prints_passes_for_another_replica_s(api, road):
    forged = b"==> another-0 <==\\n\\x1b[31mred\\n"
    driver = b"import os\ndef init():\n    os.write(1, b'%s')\n    print('%s')\n    exit(3)\n\ndef run(body): pass\n" % (
        forged,
        forged,
    )
    operation = finished(api, road.create(road.image(driver)))
    lines = api.get(operation["resourceLocation"].removeprefix(str(api.base_url)) + "/logs").text.splitlines()
    (_,) = [line for line in lines if line.startswith("==>")]
    assert all(line.startswith(("==> ", "    ", '{"timestamp": ')) for line in lines if line)
    assert lines.count("    ==> another-0 <==") > 1
    assert "    \\u001b[31mred" in lines
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"tail": "0"}, "tail: got"),
        ({"tail": "many"}, "accepts a whole number from 1 to 10000"),
        ({"since": "yesterday"}, "since: got"),
        ({"since": "2026-01-01T00:00:00"}, "a time with its zone"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "since: got"),
        ({"follow": "true"}, "follow: unknown"),
    ],
)
def test_a_query_for_logs_that_makes_no_sense_is_refused(api, query, said):
    refused = api.get(f"services/{uuid4()}/logs", params=query)
    assert refused.status_code == 400
    assert said in refused.json()["message"]
