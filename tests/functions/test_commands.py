"""Commands by queue, under the published runtime: what HTTP takes is taken, once; what is bad is told."""

import json
from typing import Any
from uuid import uuid4

import pytest

from shared.storage.queues import COMMANDS
from tests.queues import command, send
from tests.uploads import ECHO, upload
from tests.waiting import eventually


def do(stack, what: str, data: Any, **attributes: Any) -> dict[str, Any]:
    """Send a command; the command."""
    sent = command(stack, what, data, **attributes)
    send(stack, COMMANDS, json.dumps(sent))
    return sent


def model(**fields: Any) -> dict[str, Any]:
    return {"name": f"m-{uuid4().hex}", "url": "http://store/x.pkl", "mimeType": "application/json", **fields}


def manifest(stack, **fields: Any) -> dict[str, Any]:
    return {
        "name": f"m-{uuid4().hex}",
        "driverProgram": "driver",
        "assets": [{"id": "driver", "url": upload(stack.description, "driver.py", ECHO)}],
        "targetRuntime": {"runtimeType": "Python", "properties": {}},
        **fields,
    }


def listed(api, collection: str, **query: Any) -> list[dict[str, Any]]:
    return api.get(collection, params=query).json()["value"]


def refusal_of(refusals, sent: dict[str, Any]) -> dict[str, Any]:
    """The event that says that a command was refused."""
    (refused,) = refusals.until(lambda event: sent["id"] in event["data"]["message"])
    assert (refused["specversion"], refused["type"]) == ("1.0", "slipway.command.refused")
    assert json.loads(refused["data"]["message"]) == sent
    return refused["data"]["error"]


def test_the_road_to_a_service_and_back_can_be_driven_by_commands(stack, api, road):
    digits, echo, name = model(), manifest(stack), f"s-{uuid4().hex[:20]}"
    do(stack, "slipway.model.register", digits)
    (registered,) = eventually(lambda: listed(api, "models", name=digits["name"]))
    assert (registered["version"], registered["url"]) == (1, digits["url"])

    do(stack, "slipway.manifest.create", echo)
    (created,) = eventually(lambda: listed(api, "manifests", manifestName=echo["name"]))
    build = {"name": "by-queue", "manifestId": created["id"], "imageType": "Docker", "computeResourceId": road.compute["id"]}
    do(stack, "slipway.image.create", build)
    (image,) = eventually(lambda: listed(api, "images", manifestId=created["id"]))
    eventually(lambda: api.get(f"images/{image['id']}").json()["creationState"] == "Succeeded")

    body = {"name": name, "imageId": image["id"], "computeResource": road.compute, "numReplicas": 1}
    do(stack, "slipway.service.create", body)
    (service,) = eventually(lambda: listed(api, "services", serviceName=name))
    path = f"services/{service['id']}"
    eventually(lambda: api.get(path).json()["state"] == "Succeeded")
    assert road.score(api.get(path).json(), 1).json()["echo"] == 1

    do(stack, "slipway.service.update", {"id": service["id"], "maxConcurrentRequestsPerContainer": 3})
    eventually(lambda: api.get(path).json().get("maxConcurrentRequestsPerContainer") == 3)
    eventually(lambda: api.get(path).json()["state"] == "Succeeded")
    do(stack, "slipway.service.delete", {"id": service["id"]})
    eventually(lambda: api.get(path).status_code == 404)


def test_an_operation_is_cancelled_by_a_command(stack, api, road):
    away = api.post("models", json=model(url="http://slipway.invalid/x")).json()["id"]
    location = road.build(road.manifest(models=(away,))).headers["Operation-Location"]
    do(stack, "slipway.operation.cancel", {"id": location.rpartition("/")[2]})
    eventually(lambda: api.get(location).json()["state"] == "Cancelled")


def test_a_command_that_comes_again_is_carried_out_once(stack, api):
    body = model()
    sent = command(stack, "slipway.model.register", body)
    for _ in range(10):
        send(stack, COMMANDS, json.dumps(sent))
    last = model()
    do(stack, "slipway.model.register", last)
    eventually(lambda: listed(api, "models", name=last["name"]))
    eventually(lambda: len(listed(api, "models", name=body["name"])) == 1)
    do(stack, "slipway.model.register", body)  # another id: another request
    eventually(lambda: [made["version"] for made in listed(api, "models", name=body["name"])] == [2, 1])


def test_the_id_of_one_command_belongs_to_no_other(stack, api, refusals):
    first, second = model(), model()
    sent = do(stack, "slipway.model.register", first)
    eventually(lambda: listed(api, "models", name=first["name"]))
    other = do(stack, "slipway.model.register", second, id=sent["id"])
    assert refusal_of(refusals, other)["code"] == "RepeatabilityMismatch"
    assert listed(api, "models", name=second["name"]) == []


@pytest.mark.parametrize(
    ("what", "data", "refused"),
    [
        ("slipway.model.register", {"name": "m"}, ("InvalidRequest", "url: required")),
        ("slipway.model.register", {"name": "m", "url": "ftp://x", "mimeType": "a"}, ("InvalidRequest", "url: ")),
        ("slipway.image.create", {"name": "m", "manifestId": "x"}, ("InvalidRequest", "manifestId: ")),
        ("slipway.service.update", {"numReplicas": 1}, ("InvalidRequest", "id: ")),
        ("slipway.service.update", {"id": str(uuid4()), "numReplicas": -1}, ("InvalidRequest", "numReplicas: ")),
        ("slipway.service.update", {"id": str(uuid4()), "numReplicas": 1}, ("ServiceNotFound", "There is no service")),
        ("slipway.operation.cancel", {"id": str(uuid4())}, ("OperationNotFound", "There is no operation")),
        ("slipway.operation.cancel", {"id": 7}, ("InvalidRequest", "id: ")),
        ("slipway.pipeline.run", {}, ("InvalidRequest", "a pipeline has at least one of")),
        ("slipway.pipeline.run", {"service": {"name": "s"}}, ("InvalidRequest", "service.")),
        ("slipway.model.forget", {}, ("InvalidEvent", "type: got 'slipway.model.forget'; accepts slipway.model.register")),
    ],
)
def test_a_bad_command_is_refused_as_its_request_is_by_http(stack, refusals, what, data, refused):
    error = refusal_of(refusals, do(stack, what, data))
    assert error["code"] == refused[0]
    assert refused[1] in error["message"]
    assert error["statusCode"] in (400, 404)


@pytest.mark.parametrize(
    ("attributes", "code", "named"),
    [
        ({"subject": "/elsewhere"}, "InvalidEvent", "subject: got '/elsewhere'"),
        ({"subject": "/api/subscriptions/a/resourceGroups/b/accounts/c"}, "CommandsNotAllowed", "no commands"),
        ({"subject": None}, "InvalidEvent", "subject"),
        ({"data": "text"}, "InvalidEvent", "data"),
        ({"specversion": "0.1"}, "InvalidEvent", "specversion"),
        ({"type": ""}, "InvalidEvent", "type"),
    ],
)
def test_an_event_that_is_no_command_of_an_account_here_is_refused(stack, refusals, attributes, code, named):
    sent = {**command(stack, "slipway.model.register", model()), **attributes}
    send(stack, COMMANDS, json.dumps(sent))
    error = refusal_of(refusals, sent)
    assert error["code"] == code
    assert named in error["message"]


@pytest.mark.parametrize("text", ["no JSON, {}", "[1, {}]", '"{}"', '{{"id": "{}"}}'])
def test_what_is_no_event_at_all_is_refused_and_holds_up_nothing(stack, api, refusals, text):
    mark, after = uuid4().hex, model()
    send(stack, COMMANDS, text.format(mark))
    do(stack, "slipway.model.register", after)
    (refused,) = refusals.until(lambda event: mark in event["data"]["message"])
    assert refused["data"]["error"]["code"] == "InvalidEvent"
    eventually(lambda: listed(api, "models", name=after["name"]))


def test_a_refusal_shows_no_signature(stack, refusals):
    sent = do(stack, "slipway.model.register", {"name": "m", "url": "https://a/b?sv=1&sig=SECRET%3D", "mimeType": 7})
    (refused,) = refusals.until(lambda event: sent["id"] in event["data"]["message"])
    assert "SECRET" not in json.dumps(refused)


def test_retraining_reaches_the_live_service_by_one_message(stack, api, road, events):
    name = f"p-{uuid4().hex[:20]}"

    def pipeline(driver: bytes) -> dict[str, Any]:
        return {
            "model": {"name": name, "url": upload(stack.description, "m.json", driver), "mimeType": "application/json"},
            "manifest": manifest(stack, assets=[{"id": "driver", "url": upload(stack.description, "driver.py", driver)}]),
            "image": {"name": name, "imageType": "Docker", "computeResourceId": road.compute["id"]},
            "service": {"name": name, "computeResource": road.compute, "numReplicas": 1},
        }

    do(stack, "slipway.pipeline.run", pipeline(ECHO))
    (service,) = eventually(lambda: listed(api, "services", serviceName=name))
    path = f"services/{service['id']}"
    eventually(lambda: api.get(path).json()["state"] == "Succeeded")
    assert road.score(api.get(path).json(), 1).json()["version"] == 1

    do(stack, "slipway.pipeline.run", pipeline(ECHO.replace(b"'version': 1", b"'version': 2")))
    eventually(lambda: road.score(api.get(path).json(), 1).json().get("version") == 2)
    pipelines = events.until(lambda event: event["data"].get("operationType") == "Pipeline", 2)
    assert {event["type"] for event in pipelines} >= {"slipway.operation.accepted"}
    ended = eventually(lambda: [o for o in listed(api, "operations", operationType="Pipeline") if o["state"] == "Succeeded"])
    (first, *_) = [operation for operation in ended if operation["resourceLocation"].endswith(service["id"])]
    assert [step["name"] for step in first["steps"]] == ["model", "manifest", "image", "service"]
    assert all(step["state"] == "Succeeded" for step in first["steps"])
    assert [found["version"] for found in listed(api, "models", name=name)] == [2, 1]
    eventually(lambda: api.get(path).json()["image"]["version"] == 2)


def test_a_pipeline_whose_image_fails_fails_with_its_cause_and_leaves_the_service_as_it_was(stack, api, road):
    name = f"p-{uuid4().hex[:20]}"
    gone = upload(stack.description, "driver.py", ECHO).replace("/uploads/", "/uploads/not-there-")
    parts = {
        "manifest": manifest(stack, assets=[{"id": "driver", "url": gone}]),
        "image": {"name": name, "imageType": "Docker", "computeResourceId": road.compute["id"]},
        "service": {"name": name, "computeResource": road.compute},
    }
    do(stack, "slipway.pipeline.run", parts)
    (failed,) = eventually(lambda: listed(api, "operations", operationType="Pipeline", state="Failed"))
    assert failed["error"]["statusCode"] == 400
    assert "driver.py" in failed["error"]["message"]
    assert {step["name"]: step["state"] for step in failed["steps"]} == {
        "manifest": "Succeeded",
        "image": "Failed",
        "service": "NotStarted",
        "undo": "Succeeded",
    }
    assert listed(api, "services", serviceName=name) == []
