"""Operations by HTTP: finding them, seeing how they fare, giving them up."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.uploads import Road, finished

ENDED = ("Succeeded", "Failed", "Cancelled")


@pytest.fixture(scope="module")
def module_road(stack) -> Iterator[Road]:
    with stack.client() as api:
        yield Road(api, stack.description)


@pytest.fixture(scope="module")
def image(module_road) -> str:
    return module_road.image()


@pytest.fixture(scope="module")
def endless(module_road) -> str:
    """An image whose service is not ready for a minute."""
    return module_road.image(b"import time\ndef init(): time.sleep(60)\ndef run(body): return body\n")


@pytest.fixture(scope="module")
def updated(module_road, image) -> str:
    """The id of a service that was created and then updated three times, each time with success."""
    service_id = module_road.service(image, numReplicas=0)["id"]
    for most in (2, 3, 4):
        body = {"maxConcurrentRequestsPerContainer": most}
        finished(module_road.api, module_road.api.put(f"services/{service_id}", json=body))
    return service_id


@pytest.fixture
def stuck(api, road) -> Iterator[str]:
    """The address of the build of an image whose model is out of reach: it goes on for minutes unless it is cancelled."""
    body = {"name": f"m-{uuid4().hex}", "url": "http://slipway.invalid/x", "mimeType": "application/json"}
    accepted = road.build(road.manifest(models=(api.post("models", json=body).json()["id"],)))
    yield accepted.headers["Operation-Location"]
    api.post(f"{accepted.headers['Operation-Location']}/cancel")
    assert finished(api, accepted)["state"] == "Cancelled"


def seen(api: httpx.Client, location: str, condition: Callable[[httpx.Response], bool]) -> httpx.Response:
    """The operation's answer as soon as it is so."""
    deadline = time.monotonic() + 60
    while True:
        answer = api.get(location)
        if condition(answer):
            return answer
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)


def step_of(operation: dict[str, Any], name: str) -> dict[str, Any]:
    (step,) = [step for step in operation["steps"] if step["name"] == name]
    return step


def held_up(answer: httpx.Response) -> bool:
    """Whether a step has failed, and is to be tried again."""
    return any("lastError" in step for step in answer.json()["steps"])


def rolling_out(answer: httpx.Response) -> bool:
    return step_of(answer.json(), "rollout")["state"] == "Running"


def listed(api: httpx.Client, **filters: str) -> list[dict[str, Any]]:
    return api.get("operations", params=filters).json()["value"]


def test_operations_are_listed_newest_first_in_pages(stack, api, updated):
    link = f"{stack.description['baseUrl']}/operations?api-version=2017-09-01-preview&resourceId={updated}&count=3"
    pages = []
    while link:
        page = httpx.get(link, headers={"Authorization": f"Bearer {stack.description['token']}"}).json()
        pages.append(page["value"])
        link = page.get("nextLink")
        assert link or "nextLink" not in page
    operations = [operation for page in pages for operation in page]
    assert [len(page) for page in pages] == [3, 1]
    assert len({operation["id"] for operation in operations}) == 4
    assert all(newer["createdTime"] >= older["createdTime"] for newer, older in pairwise(operations))
    assert operations == [api.get(f"operations/{operation['id']}").json() for operation in operations]
    assert {operation["resourceLocation"].rpartition("/")[2] for operation in operations} == {updated}


def test_all_operations_of_the_account_are_listed_without_a_filter(api, updated, stuck):
    newest = api.get("operations", params={"count": 5}).json()
    assert newest["value"][0]["id"] == stuck.rpartition("/")[2]
    assert len(newest["value"]) == 5
    assert {operation["operationType"] for operation in newest["value"]} == {"Image", "Service"}
    assert "nextLink" in newest


def test_operations_are_narrowed_by_state_type_and_resource(api, updated, stuck):
    building = seen(api, stuck, held_up).json()
    image_id = building["resourceLocation"].rpartition("/")[2]
    assert [found["id"] for found in listed(api, resourceId=image_id)] == [building["id"]]
    assert [found["id"] for found in listed(api, resourceId=image_id, state="Running")] == [building["id"]]
    assert [found["id"] for found in listed(api, resourceId=image_id, operationType="Image")] == [building["id"]]
    assert listed(api, resourceId=image_id, state="Succeeded") == []
    assert listed(api, resourceId=image_id, operationType="Service") == []
    assert len(listed(api, resourceId=updated, state="Succeeded", operationType="Service")) == 4
    for filters in ({"state": "Succeeded"}, {"state": "Running"}, {"operationType": "Image"}, {"operationType": "Service"}):
        ((name, value),) = filters.items()
        found = listed(api, **filters)
        assert found
        assert {operation[name] for operation in found} == {value}


def test_an_ended_operation_is_found_by_its_new_state_only(api, stuck):
    operation_id = stuck.rpartition("/")[2]
    finished(api, api.post(f"{stuck}/cancel"))
    assert operation_id in [found["id"] for found in listed(api, state="Cancelled")]
    assert operation_id not in [found["id"] for found in listed(api, state="Running") + listed(api, state="NotStarted")]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"state": "Done"}, "state: got"),
        ({"state": "succeeded"}, "state: got"),
        ({"operationType": "Model"}, "operationType: got"),
        ({"resourceId": "digits"}, "resourceId: got"),
        ({"status": "Running"}, "status: unknown property; the nearest known one is state."),
    ],
)
def test_a_filter_that_makes_no_sense_is_400_naming_it(api, query, named):
    answer = api.get("operations", params=query)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(named)


def test_a_page_token_holds_for_its_filters_only(api, updated):
    query = {"resourceId": updated, "count": 1}
    token = httpx.URL(api.get("operations", params=query).json()["nextLink"]).params["$skipToken"]
    assert api.get("operations", params={**query, "$skipToken": token}).status_code == 200
    assert api.get("operations", params={**query, "state": "Succeeded", "$skipToken": token}).status_code == 400
    assert api.get("operations", params={"count": 1, "$skipToken": token}).status_code == 400


def test_an_operation_that_has_succeeded_shows_each_step_as_it_went(api, updated):
    for shown in listed(api, resourceId=updated):
        answer = api.get(f"operations/{shown['id']}")
        operation = answer.json()
        steps = operation["steps"]
        assert (operation["state"], operation["percentComplete"]) == ("Succeeded", 100)
        assert [(step["name"], step["state"]) for step in steps] == [
            ("begin", "Succeeded"),
            ("rollout", "Succeeded"),
            ("finish", "Succeeded"),
        ]
        assert all(step["attempts"] >= 1 and "lastError" not in step for step in steps)
        moments = [moment for step in steps for moment in (step["startTime"], step["endTime"])]
        assert [operation["createdTime"], *moments, operation["endTime"]] == sorted(
            [operation["createdTime"], *moments, operation["endTime"]]
        )
        assert "Retry-After" not in answer.headers
        assert not {"waitingFor", "cancelRequested", "error"} & operation.keys()


def test_an_operation_that_is_held_up_says_where_and_why_and_when_to_look_again(api, stuck):
    answer = seen(api, stuck, held_up)
    operation = answer.json()
    assert (operation["state"], operation["operationType"]) == ("Running", "Image")
    assert [step["name"] for step in operation["steps"]] == ["begin", "resolve", "dependencies", "content", "publish"]
    assert [step["state"] for step in operation["steps"]] == ["Succeeded", "Succeeded", "Succeeded", "Running", "NotStarted"]
    assert operation["percentComplete"] == 60
    content, publish = step_of(operation, "content"), step_of(operation, "publish")
    assert content["lastError"]["code"] == "SourceUnreachable"
    assert "slipway.invalid" in operation["waitingFor"]
    assert content["startTime"] >= step_of(operation, "dependencies")["endTime"]
    assert "endTime" not in content
    assert (publish["attempts"], "startTime" in publish, "endTime" in operation) == (0, False, False)
    assert 1 <= int(answer.headers["Retry-After"]) <= 15
    again = seen(api, stuck, lambda later: step_of(later.json(), "content")["attempts"] > content["attempts"])
    assert step_of(again.json(), "content")["startTime"] == content["startTime"]


def test_percent_complete_never_falls_and_is_100_at_the_end_only(api, road):
    accepted, shown = road.build(road.manifest()), []

    def ended(answer: httpx.Response) -> bool:
        shown.append((answer.json()["percentComplete"], answer.json()["state"], "Retry-After" in answer.headers))
        return answer.json()["state"] in ENDED

    seen(api, accepted.headers["Operation-Location"], ended)
    assert all(before[0] <= after[0] for before, after in pairwise(shown))
    assert all(percent < 100 for percent, state, _ in shown if state != "Succeeded")
    assert all(again == (state not in ENDED) for _, state, again in shown)
    assert shown[-1] == (100, "Succeeded", False)


def test_a_cancelled_build_ends_and_leaves_an_image_that_says_so(api, stuck):
    seen(api, stuck, held_up)
    first, again = (api.post(f"{stuck}/cancel") for _ in range(2))
    assert [answer.headers["Operation-Location"] for answer in (first, again)] == [stuck, stuck]
    assert first.content == b""
    operation = finished(api, again)
    image = api.get(operation["resourceLocation"]).json()
    assert (operation["state"], "error" in operation) == ("Cancelled", False)
    assert operation["createdTime"] <= operation["cancelRequested"] <= operation["endTime"]
    assert operation["percentComplete"] < 100
    assert step_of(operation, "content")["state"] == "Cancelled"
    assert step_of(operation, "publish")["state"] == "NotStarted"
    assert "Retry-After" not in api.get(stuck).headers
    assert image["creationState"] == "Cancelled"
    assert not {"imageLocation", "error"} & image.keys()
    assert httpx.get(image["imageBuildLogUri"]).text.rstrip().endswith("cancelled")


def test_cancelling_what_is_cancelled_is_taken_and_changes_nothing(api, stuck):
    cancelled = finished(api, api.post(f"{stuck}/cancel"))
    later = api.post(f"{stuck}/cancel")
    assert (later.status_code, later.headers["Operation-Location"]) == (202, stuck)
    assert api.get(stuck).json() == cancelled


def test_an_image_whose_build_was_cancelled_serves_nothing_and_can_be_deleted(api, road, stuck):
    operation = finished(api, api.post(f"{stuck}/cancel"))
    image_id = operation["resourceLocation"].rpartition("/")[2]
    refused = road.create(image_id, numReplicas=0)
    assert refused.status_code == 400
    assert "an image that is Cancelled" in refused.json()["message"]
    assert api.delete(f"images/{image_id}").status_code == 200


def test_an_operation_that_waits_for_its_next_try_is_cancelled_before_it(api, stuck):
    paused = seen(api, stuck, lambda answer: int(answer.headers.get("Retry-After", "0")) >= 5)
    seconds = int(paused.headers["Retry-After"]) - 1  # it is rounded up
    next_try = datetime.now(UTC) - paused.elapsed + timedelta(seconds=seconds)
    operation = finished(api, api.post(f"{stuck}/cancel"))
    assert operation["state"] == "Cancelled"
    assert datetime.fromisoformat(operation["endTime"]) < next_try


def test_many_who_cancel_at_once_get_the_same_answer(api, stuck):
    with ThreadPoolExecutor(16) as pool:
        answers = [asked.result() for asked in [pool.submit(api.post, f"{stuck}/cancel") for _ in range(16)]]
    assert {(answer.status_code, answer.headers.get("Operation-Location")) for answer in answers} == {(202, stuck)}
    assert finished(api, answers[0])["state"] == "Cancelled"


def test_a_cancelled_update_leaves_what_ran_before(api, road, image, endless):
    service = road.service(image)
    path = f"services/{service['id']}"
    accepted = api.put(path, json={"imageId": endless, "maxConcurrentRequestsPerContainer": 9})
    location = accepted.headers["Operation-Location"]
    waiting = seen(api, location, rolling_out)
    assert "Retry-After" in waiting.headers
    assert road.score(service, 1).json() == {"echo": 1, "version": 1}
    operation = finished(api, api.post(f"{location}/cancel"))
    after = api.get(path).json()
    assert operation["state"] == "Cancelled"
    assert step_of(operation, "rollout")["state"] == "Cancelled"
    assert (after["state"], after["image"]["id"], "error" in after) == ("Succeeded", image, False)
    assert after["maxConcurrentRequestsPerContainer"] == service["maxConcurrentRequestsPerContainer"]
    assert road.score(after, 2).json() == {"echo": 2, "version": 1}
    history = api.get("deployments", params={"serviceId": service["id"]}).json()
    assert [(entry["status"], "expiredAt" in entry) for entry in history] == [("Cancelled", True), ("Succeeded", False)]
    assert finished(api, api.put(path, json={"numReplicas": 1}))["state"] == "Succeeded"


def test_a_cancelled_create_leaves_a_service_that_can_be_updated_and_deleted(api, road, image, endless):
    accepted = road.create(endless)
    location = accepted.headers["Operation-Location"]
    seen(api, location, rolling_out)
    operation = finished(api, api.post(f"{location}/cancel"))
    path = f"services/{operation['resourceLocation'].rpartition('/')[2]}"
    cancelled = api.get(path).json()
    assert operation["state"] == "Cancelled"
    assert (cancelled["state"], "scoringUri" in cancelled, "error" in cancelled) == ("Cancelled", False, False)
    assert finished(api, api.put(path, json={"imageId": image}))["state"] == "Succeeded"
    service = api.get(path).json()
    assert (service["state"], service["image"]["id"]) == ("Succeeded", image)
    assert road.score(service, 3).json() == {"echo": 3, "version": 1}
    assert api.delete(path).status_code == 200


def test_what_has_succeeded_is_not_cancelled(api, updated):
    newest = listed(api, resourceId=updated)[0]
    refused = api.post(f"operations/{newest['id']}/cancel")
    assert (refused.status_code, refused.json()["code"], refused.json()["statusCode"]) == (409, "OperationEnded", 409)
    assert newest["id"] in refused.json()["message"]
    assert api.get(f"operations/{newest['id']}").json() == newest


def test_what_has_failed_is_not_cancelled(api, road):
    broken = road.image(b"def init(): raise RuntimeError('no weights')\ndef run(body): pass\n")
    failed = finished(api, road.create(broken))
    refused = api.post(f"operations/{failed['id']}/cancel")
    assert (failed["state"], refused.status_code, refused.json()["code"]) == ("Failed", 409, "OperationEnded")
    assert api.get(f"operations/{failed['id']}").json() == failed
    assert failed["percentComplete"] < 100
    assert step_of(failed, "rollout")["lastError"] == failed["error"]


def test_a_delete_is_an_operation_that_is_not_cancelled(api, road, image):
    service_id = road.service(image, numReplicas=0)["id"]
    assert api.delete(f"services/{service_id}").status_code == 200
    deleting = listed(api, resourceId=service_id)[0]
    refused = api.post(f"operations/{deleting['id']}/cancel")
    assert (refused.status_code, refused.json()["code"] in ("NotCancellable", "OperationEnded")) == (409, True)
    ended = seen(api, f"operations/{deleting['id']}", lambda answer: answer.json()["state"] in ENDED).json()
    assert (ended["state"], "cancelRequested" in ended) == ("Succeeded", False)
    assert api.post(f"operations/{deleting['id']}/cancel").json()["code"] == "OperationEnded"


@pytest.mark.parametrize("identifier", ["01890000-0000-7000-8000-0000000000ff", "not-a-uuid"])
def test_what_is_not_there_is_not_cancelled(api, identifier):
    refused = api.post(f"operations/{identifier}/cancel")
    assert (refused.status_code, refused.json()["statusCode"]) == (404, 404)


def test_a_reader_sees_operations_and_may_not_cancel_them(stack, stuck):
    with stack.client(stack.token("Slipway.Reader")) as reader:
        refused = reader.post(f"{stuck}/cancel")
        assert (refused.status_code, refused.json()["code"]) == (403, "Forbidden")
        assert reader.get("operations", params={"count": 1}).status_code == 200
        assert "cancelRequested" not in reader.get(stuck).json()
