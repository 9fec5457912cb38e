"""Entity tags of services, by HTTP: a change that is made only to what its caller has seen. Source: RFC 9110, 13.1.1."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.uploads import Road, finished

NEVER = '"of-no-service"'


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


@pytest.fixture
def path(road, image) -> str:
    """The path of a service that has no replicas, and so changes fast."""
    return f"services/{road.service(image, numReplicas=0)['id']}"


@pytest.fixture(scope="module")
def lasting(module_road, image) -> str:
    """The path of a service that tests leave as it is."""
    return f"services/{module_road.service(image, numReplicas=0)['id']}"


def tag_of(api: httpx.Client, path: str) -> str:
    answer = api.get(path)
    assert answer.status_code == 200, answer.text
    return answer.headers["ETag"]


def put(api: httpx.Client, path: str, tag: str | None, **body: Any) -> httpx.Response:
    headers = {} if tag is None else {"If-Match": tag}
    return api.put(path, json=body or {"maxConcurrentRequestsPerContainer": 2}, headers=headers)


def delete(api: httpx.Client, path: str, tag: str) -> httpx.Response:
    return api.delete(path, headers={"If-Match": tag})


def everything(api: httpx.Client, path: str) -> tuple[str, Any, Any, Any]:
    """All that a change of the service would change."""
    shown, of_it = api.get(path), {"serviceId": path.rpartition("/")[2]}
    operations = api.get("operations", params={"resourceId": of_it["serviceId"]}).json()
    return shown.headers["ETag"], shown.json(), operations, api.get("deployments", params=of_it).json()


def test_a_tag_is_strong_and_stays_while_nothing_changes(api, lasting):
    first, again = api.get(lasting), api.get(lasting)
    assert first.headers["ETag"] == again.headers["ETag"]
    assert first.json() == again.json()
    assert first.headers["ETag"].startswith('"')
    assert first.headers["ETag"].endswith('"')


def test_a_tag_stays_when_what_is_shown_does_not_change(api, lasting):
    before = tag_of(api, lasting)
    assert api.post(f"{lasting}/regenerateKeys").status_code == 200
    assert tag_of(api, lasting) == before


def test_a_tag_changes_when_an_update_is_accepted_and_when_it_has_ended(api, path, slow):
    before = tag_of(api, path)
    accepted = put(api, path, before, imageId=slow, numReplicas=1)
    during = api.get(path)
    assert during.json()["state"] == "Running"
    assert finished(api, accepted)["state"] == "Succeeded"
    assert len({before, during.headers["ETag"], tag_of(api, path)}) == 3


def test_an_update_that_changes_nothing_else_leaves_a_new_tag_too(api, path):
    before, replicas = tag_of(api, path), api.get(path).json()["numReplicas"]
    finished(api, put(api, path, before, numReplicas=replicas))
    assert tag_of(api, path) != before


def test_services_that_are_alike_have_tags_of_their_own(api, path, lasting):
    assert tag_of(api, path) != tag_of(api, lasting)
    assert put(api, lasting, tag_of(api, path)).status_code == 412


def test_an_update_of_what_its_caller_has_seen_is_taken(api, path):
    operation = finished(api, put(api, path, tag_of(api, path)))
    assert operation["state"] == "Succeeded"
    assert api.get(path).json()["maxConcurrentRequestsPerContainer"] == 2


@pytest.mark.parametrize("change", [put, delete])
@pytest.mark.parametrize("tag", [NEVER, f"{NEVER}, W/{NEVER}", '""'])
def test_a_change_of_anything_else_is_412_naming_if_match_and_changes_nothing(api, lasting, change, tag):
    before = everything(api, lasting)
    refused = change(api, lasting, tag)
    error = refused.json()
    assert (refused.status_code, error["statusCode"], error["code"]) == (412, 412, "PreconditionFailed")
    assert error["message"].startswith("If-Match: ")
    assert before[0] in error["message"]
    assert everything(api, lasting) == before


@pytest.mark.parametrize("change", [put, delete])
def test_a_weak_tag_never_matches(api, lasting, change):
    before = everything(api, lasting)
    assert change(api, lasting, f"W/{before[0]}").status_code == 412
    assert change(api, lasting, f"{NEVER}, W/{before[0]}").status_code == 412
    assert everything(api, lasting) == before


@pytest.mark.parametrize("change", [put, delete])
@pytest.mark.parametrize("form", ["{bare}", '"{bare}', "'{bare}'", '"{bare}" "x"', '*, "{bare}"', 'w/"{bare}"', "null"])
def test_a_malformed_tag_is_400_naming_if_match_and_changes_nothing(api, lasting, change, form):
    before = everything(api, lasting)
    refused = change(api, lasting, form.format(bare=before[0].strip('"')))
    assert refused.status_code == 400
    assert refused.json()["message"].startswith("If-Match: got ")
    assert everything(api, lasting) == before


@pytest.mark.parametrize("form", ["{right}", "{other}, {right}", 'W/"x" ,{right},{other}', "*"])
def test_an_update_is_taken_with_the_right_tag_among_others_or_with_any(api, path, form):
    accepted = put(api, path, form.format(right=tag_of(api, path), other=NEVER))
    assert finished(api, accepted)["state"] == "Succeeded"


@pytest.mark.parametrize("form", ["{right}", "{other}, {right}", "*"])
def test_a_delete_is_taken_with_the_right_tag_among_others_or_with_any(api, path, form):
    assert delete(api, path, form.format(right=tag_of(api, path), other=NEVER)).status_code == 200
    assert api.get(path).status_code == 404


@pytest.mark.parametrize("tag", [None, "*"])
def test_without_a_tag_the_last_writer_wins(api, path, tag):
    finished(api, put(api, path, None, maxConcurrentRequestsPerContainer=3))
    assert finished(api, put(api, path, tag, maxConcurrentRequestsPerContainer=4))["state"] == "Succeeded"
    assert api.get(path).json()["maxConcurrentRequestsPerContainer"] == 4


def test_of_two_who_have_seen_the_same_the_second_is_told(api, path):
    seen = tag_of(api, path)
    finished(api, put(api, path, seen, maxConcurrentRequestsPerContainer=3))
    before = everything(api, path)
    refused = put(api, path, seen, maxConcurrentRequestsPerContainer=4)
    assert refused.status_code == 412
    assert everything(api, path) == before
    assert before[1]["maxConcurrentRequestsPerContainer"] == 3


def test_an_update_whose_answer_was_lost_is_taken_again_while_it_runs_and_when_it_has_ended(api, path, slow):
    seen = tag_of(api, path)
    first, again = (put(api, path, seen, imageId=slow, numReplicas=1) for _ in range(2))
    assert api.get(first.headers["Operation-Location"]).json()["state"] in ("NotStarted", "Running")
    assert finished(api, first)["state"] == "Succeeded"
    later = put(api, path, seen, imageId=slow, numReplicas=1)
    assert [answer.status_code for answer in (first, again, later)] == [202] * 3
    assert len({answer.headers["Operation-Location"] for answer in (first, again, later)}) == 1
    assert len(api.get("deployments", params={"serviceId": path.rpartition("/")[2]}).json()) == 2


def test_another_update_with_a_stale_tag_is_412_while_one_runs_and_with_the_new_tag_409(api, path, slow):
    seen = tag_of(api, path)
    accepted = put(api, path, seen, imageId=slow, numReplicas=1)
    stale, current = put(api, path, seen), put(api, path, tag_of(api, path))
    assert (stale.status_code, current.status_code) == (412, 409)
    assert current.headers["Operation-Location"] == accepted.headers["Operation-Location"]
    assert finished(api, accepted)["state"] == "Succeeded"


def test_an_update_is_not_taken_again_when_another_came_after_it(api, path):
    seen = tag_of(api, path)
    finished(api, put(api, path, seen, maxConcurrentRequestsPerContainer=3))
    finished(api, put(api, path, tag_of(api, path), maxConcurrentRequestsPerContainer=4))
    assert put(api, path, seen, maxConcurrentRequestsPerContainer=3).status_code == 412
    assert api.get(path).json()["maxConcurrentRequestsPerContainer"] == 4


def test_a_delete_with_a_stale_tag_leaves_the_service(api, path):
    seen = tag_of(api, path)
    finished(api, put(api, path, seen))
    assert delete(api, path, seen).status_code == 412
    assert api.get(path).json()["state"] == "Succeeded"
    assert delete(api, path, tag_of(api, path)).status_code == 200


def test_what_is_gone_is_gone_with_any_tag(api, path):
    seen = tag_of(api, path)
    assert [delete(api, path, seen).status_code for _ in range(2)] == [200, 204]
    assert delete(api, path, NEVER).status_code == 204
    assert put(api, path, seen).status_code == 404
