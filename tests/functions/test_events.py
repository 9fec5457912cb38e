"""Events on the queue `events`, under the published runtime: one for each transition, in order per resource."""

import json
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from tests.uploads import finished


def about(path: str):
    return lambda event: event.get("subject") == path


def types(events: list[dict[str, Any]]) -> list[str]:
    """The kinds of the events, each once, in order: any may come more than once."""
    return list(dict.fromkeys(event["type"] for event in events))


def model() -> dict[str, Any]:
    return {"name": f"m-{uuid4().hex}", "url": "https://store/x.pkl?sv=1&sig=SECRET", "mimeType": "application/json"}


def test_a_registered_model_is_announced_as_a_cloud_event_without_its_signature(stack, api, events):
    trace = f"00-{uuid4().hex}-{uuid4().hex[:16]}-01"
    registered = api.post("models", json=model(), headers={"traceparent": trace}).json()
    (event, *_) = events.until(about(f"models/{registered['id']}"))
    assert (event["specversion"], event["type"]) == ("1.0", "slipway.model.registered")
    assert event["source"] == urlsplit(stack.description["baseUrl"]).path
    assert (event["datacontenttype"], event["sequence"]) == ("application/json", "0000000001")
    assert event["data"] == {"id": registered["id"], "name": registered["name"], "version": 1, "tags": []}
    assert "SECRET" not in json.dumps(event)


def test_all_of_a_models_life_is_told(api, events):
    registered = api.post("models", json=model()).json()
    assert api.delete(f"models/{registered['id']}").status_code == 200
    told = events.until(lambda event: event.get("subject") == f"models/{registered['id']}", 2)
    assert types(told) == ["slipway.model.registered", "slipway.model.deleted"]


def test_a_build_is_told_from_its_acceptance_to_its_end(api, road, events):
    accepted = road.build(road.manifest())
    operation = finished(api, accepted)
    operation_path = "operations/" + accepted.headers["Operation-Location"].rpartition("/")[2]
    image_path = "images/" + operation["resourceLocation"].rpartition("/")[2]
    told = events.until(about(image_path), 3)
    assert types(told) == ["slipway.image.accepted", "slipway.image.running", "slipway.image.succeeded"]
    assert told[-1]["data"]["imageLocation"] == api.get(image_path).json()["imageLocation"]
    assert types(events.until(about(operation_path), 3)) == [
        "slipway.operation.accepted",
        "slipway.operation.running",
        "slipway.operation.succeeded",
    ]


def test_what_a_service_goes_through_is_told_in_order(api, road, events):
    service = road.service(road.image(), numReplicas=1)
    path = f"services/{service['id']}"
    assert finished(api, api.put(path, json={"maxConcurrentRequestsPerContainer": 3}))["state"] == "Succeeded"
    assert api.delete(path).status_code == 200
    told = eventually_ending(events, path, "slipway.service.deleted")
    sequences = [event["sequence"] for event in told]
    assert sequences == sorted(sequences)
    assert types(told)[-1] == "slipway.service.deleted"
    assert told[1]["data"]["scoringUri"] == service["scoringUri"]
    assert [event["type"].rpartition(".")[2] for event in told] == [
        "accepted",
        "succeeded",
        "running",
        "succeeded",
        "deleted",
    ]


def eventually_ending(events, path: str, last: str) -> list[dict[str, Any]]:
    """The events of that resource, once the last one is there."""
    events.until(lambda event: event.get("subject") == path and event["type"] == last)
    return events.until(about(path))
