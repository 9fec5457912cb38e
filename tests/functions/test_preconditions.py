"""Preconditions on every resource, by HTTP. Source: RFC 9110, 8.8.3 and 13. What is special of services is in test_tags."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.uploads import Road, finished

NEVER = '"of-no-resource"'
MODEL = {"name": "digits", "url": "http://store/digits.pkl?sig=x", "mimeType": "application/json"}
KINDS = ["models", "manifests", "images", "services", "computeResources"]

NOWHERE = "01890000-0000-7000-8000-000000000000"
"""An id of nothing, the same in all processes that collect the tests."""


@pytest.fixture(scope="module")
def module_road(stack) -> Iterator[Road]:
    with stack.client() as api:
        yield Road(api, stack.description)


@pytest.fixture(scope="module")
def lasting(module_road) -> dict[str, str]:
    """The path of a resource of each kind, that tests leave as it is."""
    api = module_road.api
    service = module_road.service(module_road.image(), numReplicas=0)
    image, name = service["image"]["id"], f"c-{uuid4().hex[:8]}"
    assert api.put(f"computeResources/{name}", json={"kind": "local"}).status_code == 200
    return {
        "models": f"models/{api.post('models', json=MODEL).json()['id']}",
        "manifests": f"manifests/{service['manifest']['id']}",
        "images": f"images/{image}",
        "services": f"services/{service['id']}",
        "computeResources": f"computeResources/{name}",
        "deployments": f"deployments/{api.get('deployments', params={'serviceId': service['id']}).json()[0]['id']}",
        "operations": f"operations/{api.get(f'images/{image}').json()['operationId']}",
        "keys": f"services/{service['id']}/keys",
    }


@pytest.fixture(scope="module", autouse=True)
def _compute_resources_as_before(module_road) -> Iterator[None]:
    """The stack is shared: what other tests list is what was there before."""
    yield
    listed = module_road.api.get("computeResources").json()["value"]
    for name in [one["name"] for one in listed if one["name"].startswith("c-")]:
        assert module_road.api.delete(f"computeResources/{name}").status_code == 200


def removable(road: Road, kind: str) -> str:
    """The path of a new resource of that kind, which nothing refers to."""
    match kind:
        case "models":
            return f"models/{road.api.post('models', json=MODEL).json()['id']}"
        case "manifests":
            return f"manifests/{road.manifest()}"
        case "images":
            return f"images/{road.image()}"
        case "services":
            return f"services/{road.service(road.image(), numReplicas=0)['id']}"
    path = f"computeResources/c-{uuid4().hex[:8]}"
    assert road.api.put(path, json={"kind": "local"}).status_code == 200
    return path


def tag_of(api: httpx.Client, path: str) -> str:
    answer = api.get(path)
    assert answer.status_code == 200, answer.text
    return answer.headers["ETag"]


def is_refused(answer: httpx.Response, status: int, header: str) -> bool:
    error = answer.json()
    assert (answer.status_code, error["statusCode"]) == (status, status), answer.text
    return error["message"].startswith(f"{header}: ")


@pytest.mark.parametrize("kind", [*KINDS, "deployments", "operations", "keys"])
def test_a_read_of_what_its_caller_has_is_304_with_the_tag_and_without_a_body(api, lasting, kind):
    tag = tag_of(api, lasting[kind])
    assert tag_of(api, lasting[kind]) == tag
    for form in (tag, f"W/{tag}", f"{NEVER}, W/{tag}", f",, {tag}", "*"):
        answer = api.get(lasting[kind], headers={"If-None-Match": form})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag), form
    assert api.get(lasting[kind], headers={"If-None-Match": NEVER}).status_code == 200


@pytest.mark.parametrize("kind", [*KINDS, "deployments", "operations", "keys"])
def test_a_read_of_what_is_no_more_what_its_caller_has_seen_is_412(api, lasting, kind):
    tag = tag_of(api, lasting[kind])
    assert api.get(lasting[kind], headers={"If-Match": f"{NEVER}, {tag}"}).status_code == 200
    assert api.get(lasting[kind], headers={"If-Match": "*"}).status_code == 200
    assert is_refused(api.get(lasting[kind], headers={"If-Match": NEVER}), 412, "If-Match")
    assert is_refused(api.get(lasting[kind], headers={"If-Match": f"W/{tag}"}), 412, "If-Match")


def test_resources_have_tags_of_their_own(api, lasting):
    assert len({tag_of(api, path) for path in lasting.values()}) == len(lasting)


@pytest.mark.parametrize("kind", [*KINDS, "deployments", "operations"])
@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize(
    "text", ["", "bare", '"open', 'w/"x"', '*, "x"', "*,*", "null", ",", '"x" "y"', '"' + "x" * 9000 + '"']
)
def test_what_is_no_tag_is_400_naming_the_header(api, lasting, kind, header, text):
    assert is_refused(api.get(lasting[kind], headers={header: text}), 400, header)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (("If-Match", NEVER), 412),
        (("If-Match", "W/{tag}"), 412),
        (("If-Match", ""), 400),
        (("If-None-Match", "*"), 412),
        (("If-None-Match", "{tag}"), 412),
        (("If-None-Match", "W/{tag}"), 412),
        (("If-None-Match", ""), 400),
    ],
)
def test_a_delete_whose_precondition_is_not_met_deletes_nothing(api, lasting, kind, asked, status):
    header, text = asked
    tag = tag_of(api, lasting[kind])
    assert is_refused(api.delete(lasting[kind], headers={header: text.format(tag=tag)}), status, header)
    assert tag_of(api, lasting[kind]) == tag


@pytest.mark.parametrize("kind", KINDS)
def test_a_delete_of_what_its_caller_has_seen_is_done(road, api, kind):
    path = removable(road, kind)
    headers = {"If-Match": f"{NEVER}, {tag_of(api, path)}", "If-None-Match": NEVER}
    assert api.delete(path, headers=headers).status_code == 200
    assert api.get(path).status_code == 404
    assert api.delete(path, headers=headers).status_code == 204


@pytest.mark.parametrize("kind", ["services", "computeResources"])
@pytest.mark.parametrize(
    ("asked", "status"),
    [(("If-Match", NEVER), 412), (("If-Match", ""), 400), (("If-None-Match", "*"), 412), (("If-None-Match", ""), 400)],
)
def test_a_put_whose_precondition_is_not_met_changes_nothing(api, lasting, kind, asked, status):
    header, text = asked
    body: dict[str, Any] = {"kind": "local"} if kind == "computeResources" else {"maxConcurrentRequestsPerContainer": 3}
    tag = tag_of(api, lasting[kind])
    assert is_refused(api.put(lasting[kind], json=body, headers={header: text}), status, header)
    assert tag_of(api, lasting[kind]) == tag


def test_a_compute_resource_is_made_only_where_none_is(api):
    path, body = f"computeResources/c-{uuid4().hex[:8]}", {"kind": "local"}
    assert is_refused(api.put(path, json=body, headers={"If-Match": "*"}), 412, "If-Match")
    assert is_refused(api.put(path, json=body, headers={"If-Match": NEVER}), 412, "If-Match")
    assert api.get(path).status_code == 404
    assert api.put(path, json=body, headers={"If-None-Match": "*"}).status_code == 200
    assert is_refused(api.put(path, json=body, headers={"If-None-Match": "*"}), 412, "If-None-Match")


def test_of_many_who_make_a_compute_resource_at_once_one_does(api):
    path = f"computeResources/c-{uuid4().hex[:8]}"

    def put(_: int) -> int:
        return api.put(path, json={"kind": "local"}, headers={"If-None-Match": "*"}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(put, range(8))) == [200] + [412] * 7


def test_of_two_who_have_seen_the_same_compute_resource_the_second_is_told(api):
    path, body = f"computeResources/c-{uuid4().hex[:8]}", {"kind": "local"}
    api.put(path, json=body)
    seen = tag_of(api, path)

    def put(_: int) -> int:
        return api.put(path, json=body, headers={"If-Match": seen}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(put, range(8))) == [200] + [412] * 7
    assert api.delete(path, headers={"If-Match": seen}).status_code == 412
    assert tag_of(api, path) != seen


def test_keys_are_made_anew_only_by_who_has_seen_the_last_ones(api, road):
    keys = f"{removable(road, 'services')}/keys"
    seen, before = tag_of(api, keys), api.get(keys).json()
    regenerate = keys.replace("/keys", "/regenerateKeys")
    assert is_refused(api.post(regenerate, headers={"If-Match": NEVER}), 412, "If-Match")
    assert api.get(keys).json() == before
    assert api.post(regenerate, headers={"If-Match": seen}).status_code == 200
    assert is_refused(api.post(regenerate, headers={"If-Match": seen}), 412, "If-Match")
    assert api.get(keys, headers={"If-None-Match": seen}).json()["secondaryKey"] == before["secondaryKey"]


def test_an_operation_is_cancelled_only_by_who_knows_how_it_is(api, road):
    accepted = road.build(road.manifest())
    path = f"operations/{accepted.headers['Operation-Location'].rpartition('/')[2]}"
    assert is_refused(api.post(f"{path}/cancel", headers={"If-Match": NEVER}), 412, "If-Match")
    assert finished(api, accepted)["state"] == "Succeeded"


@pytest.mark.parametrize("path", ["models", "manifests", "images", "services"])
def test_a_post_to_a_list_cannot_have_seen_it_and_creates_only(api, path):
    assert is_refused(api.post(path, json=MODEL, headers={"If-Match": NEVER}), 412, "If-Match")
    assert is_refused(api.post(path, json=MODEL, headers={"If-Match": ""}), 400, "If-Match")
    assert is_refused(api.post(path, json=MODEL, headers={"If-None-Match": ""}), 400, "If-None-Match")


def test_a_post_that_creates_only_creates(api):
    assert api.post("models", json=MODEL, headers={"If-None-Match": "*"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["models", "manifests", "images", "services", "computeResources", "deployments", "operations"]
)
def test_a_list_has_no_tag_that_could_be_met(api, path):
    assert is_refused(api.get(path, headers={"If-Match": NEVER}), 412, "If-Match")
    assert api.get(path, headers={"If-Match": "*"}).status_code == 200
    assert api.get(path, headers={"If-None-Match": NEVER}).status_code == 200


@pytest.mark.parametrize("kind", ["models", "manifests", "images", "services"])
@pytest.mark.parametrize("headers", [{"If-Match": NEVER}, {"If-None-Match": "*"}, {"If-Match": "*"}])
def test_what_is_not_there_is_404_to_read_and_204_to_delete_whatever_is_asked_of_it(api, kind, headers):
    path = f"{kind}/{uuid4()}"
    assert api.get(path, headers=headers).status_code == 404
    assert api.delete(path, headers=headers).status_code == 204


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        ("models", "name=a&name=b", "name"),
        ("models", "name=a&name=a", "name"),
        ("models", "name=a&NAME=b", "name"),
        ("models", "name=&name=b", "name"),
        ("models", "name=a&n%61me=b", "name"),
        ("models", "tag=a,b&tag=c", "tag"),
        ("manifests", "manifestName=a&manifestName=b", "manifestName"),
        ("images", "count=1&count=2", "count"),
        ("services", "$skipToken=a&%24skipToken=b", "$skipToken"),
        ("deployments", f"serviceId={NOWHERE}&serviceId={NOWHERE}", "serviceId"),
        ("operations", "state=Failed&state=Succeeded", "state"),
        (f"services/{NOWHERE}/logs", "since=1&since=2", "since"),
        (f"images/{NOWHERE}/logs", "since=1&since=2", "since"),
    ],
)
def test_a_parameter_that_is_sent_twice_is_400_naming_it(stack, api, path, query, named):
    url = f"{stack.description['baseUrl']}/{path}?api-version=2017-09-01-preview&{query}"
    answer = httpx.get(url, headers={"Authorization": api.headers["Authorization"]})
    error = answer.json()
    assert (answer.status_code, error["details"][0]["code"]) == (400, "DuplicateParameter")
    assert error["message"].startswith(f"{named}: sent 2 times")


def test_a_value_with_a_comma_is_one_value(api):
    tag = f"a,b-{uuid4().hex}"
    made = api.post("models", json={**MODEL, "tags": [tag]}).json()
    assert [model["id"] for model in api.get("models", params={"tag": tag}).json()["value"]] == [made["id"]]
