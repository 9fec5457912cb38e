"""Callers at once: who loses is told so, and nothing is left half-written."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from tests.uploads import finished


def at_once(*calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def test_of_many_creates_of_one_name_one_is_taken(api, road):
    image_id, name = road.image(), f"s-{uuid4().hex[:20]}"
    answers = at_once(*[lambda: road.create(image_id, name)] * 12)
    assert Counter(answer.status_code for answer in answers) == {202: 1, 409: 11}
    (accepted,) = [answer for answer in answers if answer.status_code == 202]
    assert finished(api, accepted)["state"] == "Succeeded"
    assert len(api.get("services", params={"serviceName": name}).json()["value"]) == 1
    assert len(api.get("deployments", params={"serviceId": finished(api, accepted)["resourceLocation"][-36:]}).json()) == 1


def test_of_many_updates_at_once_one_is_taken_and_the_others_name_it(api, road):
    service = road.service(road.image())
    answers = at_once(*[lambda: api.put(f"services/{service['id']}", json={"numReplicas": 1})] * 8)
    (accepted,) = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 409]
    assert len(refused) == 7
    assert {answer.headers["Operation-Location"] for answer in refused} == {accepted.headers["Operation-Location"]}
    assert finished(api, accepted)["state"] == "Succeeded"


def test_of_many_deletes_at_once_one_finds_it(api, road):
    service = road.service(road.image())
    answers = at_once(*[lambda: api.delete(f"services/{service['id']}")] * 8)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 204: 7}


def test_an_update_and_a_delete_at_once_leave_no_service(api, road):
    service = road.service(road.image())
    path = f"services/{service['id']}"
    put, deleted = at_once(lambda: api.put(path, json={"numReplicas": 2}), lambda: api.delete(path))
    assert deleted.status_code == 200
    assert put.status_code in (202, 404)
    if put.status_code == 202:
        assert finished(api, put)["state"] == "Cancelled"
    assert api.get(path).status_code == 404


def test_registrations_of_one_name_at_once_are_versions_without_a_gap(api):
    body = {"name": f"m-{uuid4().hex}", "url": "http://store/x", "mimeType": "application/json"}
    answers = at_once(*[lambda: api.post("models", json=body)] * 16)
    assert sorted(answer.json()["version"] for answer in answers) == list(range(1, 17))
