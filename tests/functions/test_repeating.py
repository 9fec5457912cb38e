"""Requests that are sent again, by HTTP: what came of the first is the answer to all. Source: OASIS Repeatable Requests."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import uuid4

import azure.functions as func
import httpx
import pytest

from functions.repeating import DESCRIBED, FIRST_SENT, repeatable
from shared.domain.accounts import Account
from shared.domain.errors import PreconditionFailed
from shared.domain.models import Model, ModelRequest
from shared.resources.models import Models
from shared.resources.repeatability import Repeatable, Requests
from shared.storage.memory import MemoryStore
from tests.twins import ManualClock
from tests.uploads import Road, finished

RESULT = "Repeatability-Result"
NOW = timedelta()


def sent(identifier: str | None = None, *, after: timedelta = NOW) -> dict[str, str]:
    """The headers of a request that may come again, first sent so long after now."""
    moment = format_datetime(datetime.now(UTC) + after, usegmt=True)
    return {"Repeatability-Request-ID": identifier or str(uuid4()), "Repeatability-First-Sent": moment}


def at_once(count: int, call: Callable[[], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(call) for _ in range(count)]]


def model(**fields: Any) -> dict[str, Any]:
    return {"name": f"m-{uuid4().hex}", "url": "http://store/x.pkl", "mimeType": "application/json", **fields}


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    return answer.status_code, answer.headers.get("x-ms-error-code", ""), answer.headers.get(RESULT, "")


def test_every_day_of_a_century_is_described_and_no_other():
    described = re.compile(DESCRIBED[FIRST_SENT]["pattern"])
    begin = datetime(2000, 1, 1, 23, 59, 59, tzinfo=UTC)
    days = [format_datetime(begin + timedelta(days=number), usegmt=True) for number in range(36_525)]
    assert [day for day in days if not described.fullmatch(day)] == []
    for date in ("30 Feb 2024", "29 Feb 2023", "31 Apr 2024", "00 Jan 2024", "32 Jan 2024"):
        assert not described.fullmatch(f"Mon, {date} 00:00:00 GMT")


def operation_of(api: httpx.Client, accepted: httpx.Response) -> dict[str, Any]:
    return api.get(accepted.headers["Operation-Location"]).json()


@pytest.fixture(scope="module")
def module_road(stack) -> Iterator[Road]:
    with stack.client() as api:
        yield Road(api, stack.description)


@pytest.fixture(scope="module")
def image(module_road) -> str:
    return module_road.image()


@pytest.fixture(scope="module")
def slow(module_road) -> str:
    """An image whose service takes a while until it is ready."""
    return module_road.image(b"import time\ndef init(): time.sleep(2)\ndef run(body): return body\n")


@pytest.fixture(scope="module")
def service(module_road, image) -> dict[str, Any]:
    """A service that answers, for what leaves it one."""
    return module_road.service(image)


@pytest.fixture
def stuck(api, road) -> Iterator[httpx.Response]:
    """The build of an image whose model is out of reach, which goes on for minutes unless it is cancelled."""
    unreachable = api.post("models", json=model(url="http://slipway.invalid/x")).json()["id"]
    accepted = road.build(road.manifest(models=(unreachable,)))
    yield accepted
    api.post(f"{accepted.headers['Operation-Location']}/cancel")


def test_the_same_model_again_is_the_same_version(api):
    body, headers = model(), sent()
    answers = [api.post("models", json=body, headers=headers) for _ in range(3)]
    assert [(answer.status_code, answer.headers[RESULT]) for answer in answers] == [(200, "accepted")] * 3
    assert [answer.json() for answer in answers] == [answers[0].json()] * 3
    assert api.get("models", params={"name": body["name"]}).json()["value"] == [answers[0].json()]


def test_the_same_manifest_again_is_the_same_version(api):
    body, headers = manifest_body(), sent()
    answers = [api.post("manifests", json=body, headers=headers) for _ in range(3)]
    assert [(answer.status_code, answer.headers[RESULT]) for answer in answers] == [(200, "accepted")] * 3
    assert [answer.json() for answer in answers] == [answers[0].json()] * 3
    assert api.get("manifests", params={"manifestName": body["name"]}).json()["value"] == [answers[0].json()]


def manifest_body() -> dict[str, Any]:
    return {
        "name": f"m-{uuid4().hex}",
        "driverProgram": "driver",
        "assets": [{"id": "driver", "url": "http://store/driver.py"}],
        "modelIds": [],
        "targetRuntime": {"runtimeType": "Python", "properties": {}},
    }


def test_the_same_build_again_is_the_same_operation_also_when_it_has_ended(api, road):
    manifest_id, headers = road.manifest(), sent()
    body = {"name": "echo", "manifestId": manifest_id, "imageType": "Docker", "computeResourceId": road.compute["id"]}
    first, again = (api.post("images", json=body, headers=headers) for _ in range(2))
    assert finished(api, first)["state"] == "Succeeded"
    later = api.post("images", json=body, headers=headers)
    assert [(answer.status_code, answer.headers[RESULT]) for answer in (first, again, later)] == [(202, "accepted")] * 3
    assert len({answer.headers["Operation-Location"] for answer in (first, again, later)}) == 1
    assert len(api.get("images", params={"manifestId": manifest_id}).json()["value"]) == 1


def create_body(road: Road, image_id: str, **fields: Any) -> dict[str, Any]:
    name = f"s-{uuid4().hex[:20]}"
    return {"name": name, "imageId": image_id, "computeResource": road.compute, "numReplicas": 0, **fields}


def test_the_same_create_again_is_taken_although_its_name_is_taken_by_the_first(api, road, slow):
    body, headers = create_body(road, slow, numReplicas=1), sent()
    first, again = (api.post("services", json=body, headers=headers) for _ in range(2))
    assert operation_of(api, again)["state"] in ("NotStarted", "Running")
    assert finished(api, first)["state"] == "Succeeded"
    later = api.post("services", json=body, headers=headers)
    assert [(answer.status_code, answer.headers[RESULT]) for answer in (first, again, later)] == [(202, "accepted")] * 3
    assert len({answer.headers["Operation-Location"] for answer in (first, again, later)}) == 1
    assert len(api.get("services", params={"serviceName": body["name"]}).json()["value"]) == 1
    assert api.post("services", json=body, headers=sent()).status_code == 409


def test_the_same_create_again_does_not_bring_back_what_was_deleted(api, road, image):
    body, headers = create_body(road, image), sent()
    first = api.post("services", json=body, headers=headers)
    service_id = finished(api, first)["resourceLocation"].rpartition("/")[2]
    assert api.delete(f"services/{service_id}").status_code == 200
    again = api.post("services", json=body, headers=headers)
    assert (again.status_code, again.headers["Operation-Location"]) == (202, first.headers["Operation-Location"])
    assert api.get("services", params={"serviceName": body["name"]}).json() == {"value": []}


def test_the_same_update_again_is_the_same_operation_while_it_runs_and_when_it_has_ended(api, road, image, slow):
    service_id = road.service(image, numReplicas=0)["id"]
    path, body, headers = f"services/{service_id}", {"imageId": slow, "numReplicas": 1}, sent()
    first, again = (api.put(path, json=body, headers=headers) for _ in range(2))
    assert operation_of(api, again)["state"] in ("NotStarted", "Running")
    assert finished(api, first)["state"] == "Succeeded"
    later = api.put(path, json=body, headers=headers)
    assert [(answer.status_code, answer.headers[RESULT]) for answer in (first, again, later)] == [(202, "accepted")] * 3
    assert len({answer.headers["Operation-Location"] for answer in (first, again, later)}) == 1
    assert len(api.get("deployments", params={"serviceId": service_id}).json()) == 2


@pytest.mark.parametrize("body", [{}, {"keyType": "Secondary"}])
def test_a_key_is_not_made_anew_a_second_time_by_the_same_request(api, road, service, body):
    before, headers = road.keys(service), sent()
    path = f"services/{service['id']}/regenerateKeys"
    first, again = (api.post(path, json=body, headers=headers) for _ in range(2))
    assert [(answer.status_code, answer.headers[RESULT]) for answer in (first, again)] == [(200, "accepted")] * 2
    assert first.json() == again.json() == road.keys(service)
    renewed = "secondaryKey" if body else "primaryKey"
    assert {name for name, key in before.items() if first.json()[name] != key} == {renewed}
    assert road.score(service, 1, before[renewed]).status_code == 401
    assert [road.score(service, 1, key).status_code for key in again.json().values()] == [200, 200]


def test_the_same_cancellation_again_gets_the_same_answer_also_when_it_has_ended(api, stuck):
    path, headers = f"{stuck.headers['Operation-Location']}/cancel", sent()
    first, again = (api.post(path, headers=headers) for _ in range(2))
    assert finished(api, stuck)["state"] == "Cancelled"
    later = api.post(path, headers=headers)
    assert [(answer.status_code, answer.headers[RESULT]) for answer in (first, again, later)] == [(202, "accepted")] * 3
    locations = {answer.headers["Operation-Location"] for answer in (first, again, later)}
    assert locations == {stuck.headers["Operation-Location"]}


def test_the_same_request_to_another_name_of_the_service_is_the_same_request(api):
    body, headers = model(), sent()
    first = api.post("models", json=body, headers=headers)
    again = api.post("models", json=body, headers={**headers, "Host": "models.example"})
    assert (again.status_code, again.json()) == (200, first.json())


def test_of_the_same_model_a_hundred_times_at_once_one_version_is_made(api):
    body, headers = model(), sent()
    answers = at_once(100, lambda: api.post("models", json=body, headers=headers))
    assert Counter((answer.status_code, answer.headers[RESULT]) for answer in answers) == {(200, "accepted"): 100}
    assert {answer.text for answer in answers} == {answers[0].text}
    assert api.get("models", params={"name": body["name"]}).json()["value"] == [answers[0].json()]
    assert api.post("models", json=body).json()["version"] == 2


def test_of_the_same_create_a_hundred_times_at_once_one_service_is_made(api, road, image):
    body, headers = create_body(road, image), sent()
    answers = at_once(100, lambda: api.post("services", json=body, headers=headers))
    assert Counter((answer.status_code, answer.headers[RESULT]) for answer in answers) == {(202, "accepted"): 100}
    assert len({answer.headers["Operation-Location"] for answer in answers}) == 1
    operation = finished(api, answers[0])
    assert operation["state"] == "Succeeded"
    (made,) = api.get("services", params={"serviceName": body["name"]}).json()["value"]
    assert operation["resourceLocation"].endswith(made["id"])
    assert len(api.get("deployments", params={"serviceId": made["id"]}).json()) == 1


def test_of_the_same_update_many_times_at_once_one_is_carried_out(api, road, image):
    service_id, headers = road.service(image, numReplicas=0)["id"], sent()
    body = {"maxConcurrentRequestsPerContainer": 2}
    answers = at_once(30, lambda: api.put(f"services/{service_id}", json=body, headers=headers))
    assert Counter((answer.status_code, answer.headers[RESULT]) for answer in answers) == {(202, "accepted"): 30}
    assert len({answer.headers["Operation-Location"] for answer in answers}) == 1
    assert finished(api, answers[0])["state"] == "Succeeded"
    assert len(api.get("deployments", params={"serviceId": service_id}).json()) == 2


def test_of_the_same_regeneration_many_times_at_once_one_key_is_made_and_is_in_force(api, road, service):
    before, headers = road.keys(service), sent()
    answers = at_once(30, lambda: api.post(f"services/{service['id']}/regenerateKeys", headers=headers))
    assert Counter((answer.status_code, answer.headers[RESULT]) for answer in answers) == {(200, "accepted"): 30}
    assert {answer.text for answer in answers} == {answers[0].text}
    assert answers[0].json() == road.keys(service)
    assert answers[0].json()["primaryKey"] != before["primaryKey"]
    assert road.score(service, 1, answers[0].json()["primaryKey"]).status_code == 200


def test_the_same_id_with_another_body_is_400_and_changes_nothing(api):
    body, headers = model(), sent()
    first = api.post("models", json=body, headers=headers).json()
    other = api.post("models", json={**body, "url": "http://store/y.pkl"}, headers=headers)
    assert refusal(other) == (400, "RepeatabilityMismatch", "rejected")
    assert (other.json()["code"], other.json()["statusCode"]) == ("RepeatabilityMismatch", 400)
    assert api.get("models", params={"name": body["name"]}).json()["value"] == [first]


@pytest.mark.parametrize("what", ["manifest", "image", "service", "update", "keys"])
def test_an_id_that_belongs_to_another_path_is_400_and_changes_nothing(api, road, image, service, what):
    headers = sent()
    assert api.post("models", json=model(), headers=headers).status_code == 200
    build = {"name": "echo", "imageType": "Docker", "computeResourceId": road.compute["id"]}
    method, path, body = {
        "manifest": ("POST", "manifests", manifest_body()),
        "image": ("POST", "images", {**build, "manifestId": service["manifest"]["id"]}),
        "service": ("POST", "services", create_body(road, image)),
        "update": ("PUT", f"services/{service['id']}", {"maxConcurrentRequestsPerContainer": 7}),
        "keys": ("POST", f"services/{service['id']}/regenerateKeys", {}),
    }[what]
    keys, shown = road.keys(service), api.get(f"services/{service['id']}").json()
    newest = api.get("operations", params={"count": 1}).json()["value"]
    assert refusal(api.request(method, path, json=body, headers=headers)) == (400, "RepeatabilityMismatch", "rejected")
    assert (road.keys(service), api.get(f"services/{service['id']}").json()) == (keys, shown)
    assert api.get("operations", params={"count": 1}).json()["value"] == newest


def test_an_id_that_belongs_to_another_request_cancels_nothing(api, stuck):
    headers = sent()
    assert api.post("models", json=model(), headers=headers).status_code == 200
    refused = api.post(f"{stuck.headers['Operation-Location']}/cancel", headers=headers)
    assert refusal(refused) == (400, "RepeatabilityMismatch", "rejected")
    assert "cancelRequested" not in operation_of(api, stuck)


def test_the_id_of_a_cancellation_belongs_to_no_other_request(api, stuck):
    headers = sent()
    assert api.post(f"{stuck.headers['Operation-Location']}/cancel", headers=headers).status_code == 202
    assert refusal(api.post("models", json=model(), headers=headers)) == (400, "RepeatabilityMismatch", "rejected")


def test_one_id_of_two_clients_is_two_requests(api):
    body, headers = model(), sent()
    answers = [
        api.post("models", json=body, headers={**headers, "Repeatability-Client-ID": client}) for client in ("a", "b", "a")
    ]
    assert [answer.json()["version"] for answer in answers] == [1, 2, 1]


def test_one_id_of_two_clients_is_two_requests_whatever_they_are_called(api):
    body, identifier = model(), uuid4().hex
    pairs = (("a", f"b:{identifier}"), ("a:b", identifier))
    answers = [
        api.post("models", json=body, headers={**sent(together), "Repeatability-Client-ID": client})
        for client, together in pairs
    ]
    assert [answer.json()["version"] for answer in answers] == [1, 2]


async def test_one_id_of_two_accounts_is_two_requests():
    clock = ManualClock()
    store = MemoryStore(clock)
    models, requests = Models(store, clock), Requests(store, clock)
    asked = ModelRequest(name="digits", url="http://store/x.pkl", mime_type="application/json")

    async def register(name: str) -> Model:
        account, request = Account("sub", "group", name), Repeatable("http::the-same", "alike")
        return await requests.once(account, request, Model, lambda once: models.register(account, asked, once))

    one, two, one_again = await register("one"), await register("two"), await register("one")
    assert one_again == one
    assert two.id != one.id


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"Repeatability-First-Sent": None}, "Repeatability-First-Sent"),
        ({"Repeatability-Request-ID": None}, "Repeatability-Request-ID"),
        ({"Repeatability-First-Sent": "yesterday"}, "Repeatability-First-Sent: got 'yesterday'"),
        ({"Repeatability-First-Sent": "2026-01-01T00:00:00Z"}, "Repeatability-First-Sent: got '2026-01-01T00:00:00Z'"),
        ({"Repeatability-First-Sent": "Thu, 01 Jan 2026 00:00:00 +0000"}, "Repeatability-First-Sent"),
        ({"Repeatability-First-Sent": ""}, "Repeatability-First-Sent"),
        ({"Repeatability-Request-ID": "a b"}, "Repeatability-Request-ID: got 'a b'"),
        ({"Repeatability-Request-ID": "x" * 129}, "Repeatability-Request-ID: got 'xxx"),
        ({"Repeatability-Request-ID": ""}, "Repeatability-Request-ID"),
    ],
)
def test_headers_that_make_no_sense_are_400_naming_the_header(api, changed, named):
    body = model()
    headers = {name: value for name, value in {**sent(), **changed}.items() if value is not None}
    answer = api.post("models", json=body, headers=headers)
    assert (answer.status_code, answer.headers[RESULT]) == (400, "rejected")
    assert answer.json()["message"].startswith(named)
    assert api.get("models", params={"name": body["name"]}).json() == {"value": []}


@pytest.mark.parametrize("after", [timedelta(hours=-25), timedelta(minutes=10)])
def test_a_request_from_beyond_what_is_remembered_is_412(api, after):
    body = model()
    answer = api.post("models", json=body, headers=sent(after=after))
    assert (answer.status_code, answer.headers[RESULT]) == (412, "rejected")
    assert answer.json()["message"].startswith("Repeatability-First-Sent")
    assert api.get("models", params={"name": body["name"]}).json() == {"value": []}


@pytest.mark.parametrize(
    ("identifier", "after"),
    [("x" * 128, timedelta(hours=-23)), ("!#~", timedelta(minutes=4)), ("a/b?c'd", NOW)],
)
def test_what_is_just_within_bounds_is_taken_once(api, identifier, after):
    body, headers = model(), sent(f"{uuid4().hex}{identifier}"[-128:], after=after)
    answers = [api.post("models", json=body, headers=headers) for _ in range(2)]
    assert [(answer.status_code, answer.headers[RESULT]) for answer in answers] == [(200, "accepted")] * 2
    assert [answer.json()["version"] for answer in answers] == [1, 1]


@pytest.mark.parametrize("ahead", [NOW, timedelta(minutes=5)])
def test_what_may_come_again_is_remembered_for_as_long_also_of_a_caller_whose_clock_is_ahead(ahead):
    now = datetime.now(UTC).replace(microsecond=0)
    headers = {"Repeatability-Request-ID": "x", "Repeatability-First-Sent": format_datetime(now + ahead, usegmt=True)}
    request = func.HttpRequest("POST", "http://slipway/api/models", headers=headers, body=b"{}")
    forgotten = now + repeatable(request, now).kept + timedelta(seconds=1)
    with pytest.raises(PreconditionFailed):
        repeatable(request, forgotten)


ROUTES = ["models", "manifests", "images", "services", "services/{}", "services/{}/regenerateKeys", "operations/{}/cancel"]
ROUTES += ["computeResources/{}"]


@pytest.mark.parametrize("path", ROUTES)
def test_every_request_that_changes_something_is_held_to_the_headers(api, path):
    method = "PUT" if path in ("services/{}", "computeResources/{}") else "POST"
    answer = api.request(method, path.format(uuid4()), json={}, headers={"Repeatability-Request-ID": "alone"})
    assert (answer.status_code, answer.headers[RESULT]) == (400, "rejected")
    assert answer.json()["message"].startswith("Repeatability-First-Sent")


def test_a_refused_request_is_carried_out_when_its_cause_was_mended(api, road, image):
    body, headers = create_body(road, image), sent()
    holder = finished(api, api.post("services", json=body))["resourceLocation"].rpartition("/")[2]
    assert [api.post("services", json=body, headers=headers).status_code for _ in range(2)] == [409, 409]
    assert api.delete(f"services/{holder}").status_code == 200
    accepted = api.post("services", json=body, headers=headers)
    operation = finished(api, accepted)
    assert (operation["state"], accepted.headers[RESULT]) == ("Succeeded", "accepted")
    assert not operation["resourceLocation"].endswith(holder)


def test_an_update_refused_for_another_under_way_is_carried_out_after_it(api, road, image, slow):
    service_id, headers = road.service(image, numReplicas=0)["id"], sent()
    path, body = f"services/{service_id}", {"maxConcurrentRequestsPerContainer": 3}
    under_way = api.put(path, json={"imageId": slow, "numReplicas": 1})
    assert api.put(path, json=body, headers=headers).status_code == 409
    assert finished(api, under_way)["state"] == "Succeeded"
    accepted, again = (api.put(path, json=body, headers=headers) for _ in range(2))
    assert accepted.headers["Operation-Location"] == again.headers["Operation-Location"]
    assert accepted.headers["Operation-Location"] != under_way.headers["Operation-Location"]
    assert finished(api, accepted)["state"] == "Succeeded"
    assert api.get(path).json()["maxConcurrentRequestsPerContainer"] == 3


@pytest.mark.parametrize("headers", [sent("a b"), {"Repeatability-Request-ID": "alone"}, sent(after=timedelta(days=-9))])
def test_a_read_has_no_use_for_the_headers(api, headers):
    answer = api.get("models", params={"count": 1}, headers=headers)
    assert answer.status_code == 200
    assert RESULT not in answer.headers


def test_a_request_without_the_headers_is_not_told_of_them(api):
    body = model()
    answers = [api.post("models", json=body) for _ in range(2)]
    assert [answer.json()["version"] for answer in answers] == [1, 2]
    assert all(RESULT not in answer.headers for answer in answers)


def test_who_may_not_is_rejected_and_leaves_the_id_free(stack, api):
    body, headers = model(), sent()
    with stack.client(stack.token("Slipway.Reader")) as reader:
        refused = reader.post("models", json=body, headers=headers)
    assert (refused.status_code, refused.headers[RESULT]) == (403, "rejected")
    assert api.post("models", json=body, headers=headers).json()["version"] == 1
