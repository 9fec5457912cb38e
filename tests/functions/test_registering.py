from uuid import uuid4

import httpx
import pytest


@pytest.fixture
def name() -> str:
    return f"m-{uuid4().hex}"


def model(api: httpx.Client, name: str, **fields: object) -> dict:
    body = {"name": name, "url": "http://store/x.pkl?sig=s", "mimeType": "application/json", **fields}
    answer = api.post("models", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_second_registration_of_a_name_is_a_new_version_with_a_new_id(api, name):
    first, second = model(api, name), model(api, name)
    assert (first["version"], second["version"]) == (1, 2)
    assert first["id"] != second["id"]
    assert api.get(f"models/{second['id'].upper()}").json() == second


def test_a_model_shows_what_was_registered_and_no_empty_property(api, name):
    registered = model(api, name, tags=["a", "b"], description=None)
    assert registered["tags"] == ["a", "b"]
    assert "description" not in registered
    assert registered["url"] == "http://store/x.pkl?sig=s"


def test_the_next_link_is_followed_as_it_stands_with_the_token_only(stack, api, name):
    registered = [model(api, name, tags=["t"])["id"] for _ in range(5)]
    seen, link = [], f"{stack.description['baseUrl']}/models?api-version=2017-09-01-preview&name={name}&tag=t&count=2"
    pages = 0
    while link:
        page = httpx.get(link, headers={"Authorization": f"Bearer {stack.description['token']}"}).json()
        seen += [item["id"] for item in page["value"]]
        pages += 1
        link = page.get("nextLink")
        assert link or "nextLink" not in page
    assert seen == registered[::-1]
    assert pages == 3


def test_a_token_of_one_list_is_refused_by_another(api, name):
    for _ in range(2):
        model(api, name)
    link = httpx.URL(api.get("models", params={"name": name, "count": 1}).json()["nextLink"])
    token = link.params["$skipToken"]
    assert api.get("models", params={"name": name, "$skipToken": token}).status_code == 200
    for query in ({"name": "other"}, {}, {"name": name, "tag": "x"}):
        assert api.get("models", params={**query, "$skipToken": token}).status_code == 400
    assert api.get("images", params={"$skipToken": token}).status_code == 400


def test_a_manifest_needs_models_that_are_registered(api, name):
    body = {
        "name": name,
        "driverProgram": "driver",
        "assets": [{"id": "driver", "url": "http://store/driver.py"}],
        "modelIds": [model(api, name)["id"], str(uuid4())],
        "targetRuntime": {"runtimeType": "Python", "properties": {}},
    }
    refused = api.post("manifests", json=body)
    assert (refused.status_code, refused.json()["details"][0]["code"]) == (400, "InvalidReference")
    assert "modelIds[1]: got" in refused.json()["message"]
    taken = api.post("manifests", json={**body, "modelIds": body["modelIds"][:1]}).json()
    assert api.get("manifests", params={"modelId": body["modelIds"][0]}).json()["value"] == [taken]
    in_use = api.delete(f"models/{body['modelIds'][0]}")
    assert in_use.status_code == 409
    assert taken["id"] in in_use.json()["message"]
    assert [api.delete(f"manifests/{taken['id']}").status_code for _ in range(2)] == [200, 204]
    assert [api.delete(f"models/{body['modelIds'][0]}").status_code for _ in range(2)] == [200, 204]


def test_the_driver_must_be_one_of_the_assets(api, name):
    body = {
        "name": name,
        "driverProgram": "score",
        "assets": [{"id": "driver", "url": "http://store/driver.py"}],
        "targetRuntime": {"runtimeType": "Python", "properties": {}},
    }
    answer = api.post("manifests", json=body)
    assert answer.status_code == 400
    assert "driverProgram: got 'score'" in answer.json()["message"]


def test_a_manifest_says_how_its_services_answer_although_clients_leave_it_out(api, name):
    body = {
        "name": name,
        "driverProgram": "driver",
        "assets": [{"id": "driver", "url": "http://store/driver.py"}],
        "targetRuntime": {"runtimeType": "Python", "properties": {}},
    }
    for given in ({}, {"webserviceType": None}, {"webserviceType": "Realtime"}):
        made = api.post("manifests", json={**body, **given}).json()
        assert api.get(f"manifests/{made['id']}").json()["webserviceType"] == made["webserviceType"] == "Realtime"
