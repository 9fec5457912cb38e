"""Images, services and what they run, by HTTP, with real replicas behind the real front end."""

import time
from uuid import uuid4

import httpx
import pytest
from azure.storage.blob import BlobServiceClient

from tests.uploads import ECHO, Road, finished, upload
from tests.waiting import eventually


@pytest.fixture(scope="module")
def image(stack) -> str:
    with stack.client() as api:
        return Road(api, stack.description).image()


def test_a_build_is_an_operation_and_its_log_can_be_read(api, road):
    accepted = road.build(road.manifest())
    assert accepted.headers["Operation-Location"].count("?") == 0
    operation = finished(api, accepted)
    image = api.get(operation["resourceLocation"]).json()
    log = httpx.get(image["imageBuildLogUri"]).text
    assert (operation["operationType"], operation["state"], image["creationState"]) == ("Image", "Succeeded", "Succeeded")
    assert image["imageLocation"].startswith("oci:")
    assert "the driver 'driver': http" in log
    assert "sig=" not in log
    assert api.get("images", params={"manifestId": image["manifest"]["id"]}).json()["value"][0]["id"] == image["id"]


def test_a_blob_of_the_operators_own_needs_no_signature(api, stack, road):
    unsigned = upload(stack.description, "driver.py", ECHO).partition("?")[0]
    operation = finished(api, road.build(road.manifest(unsigned)))
    assert operation["state"] == "Succeeded"
    image = api.get(operation["resourceLocation"]).json()
    assert unsigned in httpx.get(image["imageBuildLogUri"]).text


def test_a_failed_build_says_why_and_where_the_log_is(api, road):
    operation = finished(api, road.build(road.manifest(requirements=b"no-such-package-of-slipways\n")))
    error = operation["error"]
    image = api.get(operation["resourceLocation"]).json()
    log = httpx.get(image["imageBuildLogUri"]).text
    assert (operation["state"], error["statusCode"], error["code"]) == ("Failed", 400, "RequirementNotFound")
    assert image["error"] == error
    assert api.get("images").json()["value"][0]["error"] == error
    where = error["details"][0]["message"]
    token = {"Authorization": api.headers["Authorization"]}
    assert where.startswith(f"{api.base_url}images/{image['id']}/logs")
    assert httpx.get(where, headers=token).text == log
    assert httpx.get(where).status_code == 401
    assert "no-such-package-of-slipways" in log


def test_an_image_of_an_unknown_manifest_or_compute_is_refused(api, road):
    body = {"name": "echo", "manifestId": str(uuid4()), "imageType": "Docker", "computeResourceId": road.compute["id"]}
    assert "manifestId: got" in api.post("images", json=body).json()["message"]
    other = road.compute["id"].replace("/local/", "/other/").removesuffix("local") + "mars"
    assert (
        "there are: …/operationalizationClusters/local" in api.post("images", json={**body, "computeResourceId": other}).text
    )


def test_a_service_answers_with_its_keys_only(road, image):
    service = road.service(image)
    keys = road.keys(service)
    assert road.score(service, {"a": 1}).json() == {"echo": {"a": 1}, "version": 1}
    assert road.score(service, {"a": 1}, keys["secondaryKey"]).status_code == 200
    assert road.score(service, {"a": 1}, "wrong").status_code == 401
    assert httpx.post(service["scoringUri"], json={}).status_code == 401


def test_health_is_one_word_for_a_stranger_and_the_deployment_too_for_who_sends_a_key(api, road, image):
    service = road.service(image)
    address, keys = service["scoringUri"].removesuffix("score"), road.keys(service)
    (deployment,) = api.get("deployments", params={"serviceId": service["id"]}).json()
    for key, told in ((None, None), ("wrong", None), *((key, deployment["id"]) for key in keys.values())):
        answer = httpx.get(address, headers={"Authorization": f"Bearer {key}"} if key else {})
        assert (answer.status_code, answer.text, answer.headers.get("x-slipway-revision")) == (200, "Healthy", told)


def test_an_update_keeps_address_and_keys_and_what_it_does_not_name(api, road, image):
    service = road.service(image, numReplicas=2, maxConcurrentRequestsPerContainer=3)
    keys = road.keys(service)
    newer = road.image(ECHO.replace(b"1}", b"2}"))
    finished(api, api.put(f"services/{service['id']}", json={"imageId": newer}))
    updated = api.get(f"services/{service['id']}").json()
    assert road.score(updated, 1, keys["primaryKey"]).json()["version"] == 2
    assert (updated["numReplicas"], updated["maxConcurrentRequestsPerContainer"]) == (2, 3)
    assert updated["scoringUri"] == service["scoringUri"]
    history = api.get("deployments", params={"serviceId": service["id"]}).json()
    assert [(entry["imageId"], "expiredAt" in entry) for entry in history] == [(newer, False), (image, True)]
    assert api.get(f"deployments/{history[0]['id']}").json() == history[0]


def test_a_driver_that_fails_to_start_leaves_what_ran_before(api, road, image):
    service = road.service(image)
    broken = road.image(b"def init(): raise RuntimeError('no weights')\ndef run(body): pass\n")
    operation = finished(api, api.put(f"services/{service['id']}", json={"imageId": broken}))
    after = api.get(f"services/{service['id']}").json()
    assert operation["state"] == "Failed"
    assert 400 <= operation["error"]["statusCode"] < 500
    assert "no weights" in str(operation["error"])
    assert (after["state"], after["image"]["id"]) == ("Succeeded", image)
    assert road.score(after, 1).json()["version"] == 1


def test_a_put_while_one_is_under_way_is_409_naming_the_operation_and_its_url(api, road):
    slow = road.image(b"import time\ndef init(): time.sleep(3)\ndef run(body): return body\n")
    accepted = road.create(slow)
    service_id = api.get(accepted.headers["Operation-Location"]).json()["resourceLocation"].rpartition("/")[2]
    refused = api.put(f"services/{service_id}", json={"numReplicas": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "OperationInProgress")
    assert accepted.headers["Operation-Location"] in refused.json()["message"]
    assert finished(api, accepted)["state"] == "Succeeded"


def test_a_delete_is_taken_in_any_state_and_cancels_what_is_under_way(api, road):
    endless = road.image(b"import time\ndef init(): time.sleep(60)\ndef run(body): return body\n")
    name = f"s-{uuid4().hex[:20]}"
    accepted = road.create(endless, name)
    service_id = api.get(accepted.headers["Operation-Location"]).json()["resourceLocation"].rpartition("/")[2]
    assert [api.delete(f"services/{service_id}").status_code for _ in range(2)] == [200, 204]
    assert finished(api, accepted)["state"] == "Cancelled"
    assert api.get(f"services/{service_id}").status_code == 404
    assert finished(api, road.create(road.image(), name))["state"] == "Succeeded"


def test_a_deleted_service_takes_no_calls_from_the_moment_delete_answers(api, road, image):
    service = road.service(image)
    keys = road.keys(service)
    assert road.score(service, 1, keys["primaryKey"]).status_code == 200
    assert api.delete(f"services/{service['id']}").status_code == 200
    assert road.score(service, 1, keys["primaryKey"]).status_code == 404


def test_a_regenerated_key_is_in_force_at_once(api, road, image):
    service = road.service(image)
    before = road.keys(service)
    after = api.post(f"services/{service['id']}/regenerateKeys").json()
    assert after["secondaryKey"] == before["secondaryKey"]
    assert road.score(service, 1, before["primaryKey"]).status_code == 401
    for key in after.values():
        assert road.score(service, 1, key).status_code == 200


def test_an_image_that_a_service_runs_is_not_deleted(api, road):
    image_id = road.image()
    service = road.service(image_id)
    refused = api.delete(f"images/{image_id}")
    assert refused.status_code == 409
    assert service["id"] in refused.json()["message"]
    api.delete(f"services/{service['id']}")
    assert [api.delete(f"images/{image_id}").status_code for _ in range(2)] == [200, 204]


def test_services_are_found_by_what_they_run(api, road, image):
    service = road.service(image)
    for query in (
        {"serviceName": service["name"]},
        {"imageId": image, "serviceName": service["name"]},
        {"manifestName": "echo", "serviceName": service["name"]},
        {"computeResourceId": road.compute["id"].upper(), "serviceName": service["name"]},
    ):
        assert [found["id"] for found in api.get("services", params=query).json()["value"]] == [service["id"]]
    assert api.get("services", params={"imageId": str(uuid4())}).json() == {"value": []}


def test_an_accepted_operation_shows_running_within_a_second(api, road):
    slow = road.image(b"import time\ndef init(): time.sleep(2)\ndef run(body): return body\n")
    accepted = road.create(slow)
    began = time.monotonic()
    while api.get(accepted.headers["Operation-Location"]).json()["state"] == "NotStarted":
        assert time.monotonic() - began < 5
    finished(api, accepted)


def test_a_service_finds_its_variables_in_its_environment_and_an_update_changes_them_one_by_one(api, road):
    driver = b"import os\ndef init(): pass\ndef run(body): return [os.environ.get(name, '') for name in body]\n"
    service = road.service(road.image(driver), numReplicas=1, environmentVariables={"GREETING": "hello", "NAME": "you"})
    assert road.score(service, ["GREETING", "NAME"]).json() == ["hello", "you"]
    update = {"environmentVariables": {"GREETING": "good day", "NAME": ""}}
    assert finished(api, api.put(f"services/{service['id']}", json=update))["state"] == "Succeeded"
    assert road.score(service, ["GREETING", "NAME"]).json() == ["good day", ""]
    assert api.get(f"services/{service['id']}").json()["environmentVariables"] == {"GREETING": "good day"}
    refused = api.put(f"services/{service['id']}", json={"environmentVariables": {"SLIPWAY_KEYS": "/"}})
    assert refused.status_code == 400


def test_a_driver_that_collects_gets_a_signature_that_adds_to_collected_data_and_no_key(api, road):
    driver = b"import os\ndef init(): pass\ndef run(body): return dict(os.environ)\n"
    service = road.service(road.image(driver), numReplicas=1, dataCollection={"storageEnabled": True})
    told = road.score(service, {}).json()
    assert "AccountKey" not in str(told)
    assert {"sp=ac", "sr=c"} <= set(told["AML_MODEL_DC_STORAGE"].split("&"))


def test_what_a_service_is_asked_and_answers_is_collected_when_that_is_wanted(api, road, stack):
    service = road.service(
        road.image(),
        numReplicas=1,
        dataCollection={"storageEnabled": True},
        environmentVariables={"SLIPWAY_COLLECTION_SECONDS": "1", "SLIPWAY_COLLECTION_EXCLUDE": "secret"},
    )
    assert road.score(service, {"age": 7, "secret": "no"}).status_code == 200
    account = api.base_url.path.split("/")
    folder = f"{account[3]}/{account[5]}/{account[7]}/{service['name']}/"

    def inputs() -> list[str]:
        with BlobServiceClient.from_connection_string(stack.description["blobConnectionString"]) as blobs:
            container = blobs.get_container_client("modeldata")
            if not container.exists():
                return []
            names = [name for name in container.list_blob_names(name_starts_with=folder) if "/inputs/" in name]
            texts = (container.download_blob(name).readall().decode() for name in names)
            # The header is there before the first rows are.
            return [text for text in texts if text.count("\n") > 1]

    (text,) = eventually(inputs)
    header, row = text.splitlines()
    assert header == "$Timestamp,$CorrelationId,$RequestId,age"
    assert row.endswith(",7")
