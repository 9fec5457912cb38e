"""What schemathesis loads: ids that exist for what it makes up, and what it must not hold against the app.

`SLIPWAY_TEST_KEPT` holds, as JSON, the ids of one resource of each kind that are to stay.
"""

import json
import os
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import schemathesis
from hypothesis import strategies
from schemathesis.specs.openapi import checks

from tests.schema.excepted import REFUSED

KEPT: dict[str, str] = json.loads(os.environ["SLIPWAY_TEST_KEPT"])
FIRST_SENT, REQUEST_ID = "Repeatability-First-Sent", "Repeatability-Request-ID"
GONE = "01890000-0000-7000-8000-0000000000ff"


schemathesis.openapi.format("entity-tags", strategies.sampled_from(["*", '"one"', 'W/"one", "another"']))
schemathesis.openapi.format("http-date", strategies.builds(lambda: format_datetime(datetime.now(UTC), usegmt=True)))


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """What is well-formed is about what is there, so that it gets as far as it can."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    _at_what_is_there(case)
    _sent_now(case)
    if isinstance(case.body, dict) and (refer := REFERRING.get((case.method, case.operation.path))):
        refer(case.body)


def _at_what_is_there(case: Any) -> None:
    kind = case.operation.path.strip("/").partition("/")[0]
    if case.method == "DELETE":
        given = {name: GONE if value in KEPT.values() else value for name, value in case.path_parameters.items()}
        case.path_parameters.update(given)
    elif "id" in case.path_parameters and kind in KEPT:
        case.path_parameters["id"] = KEPT[kind]


def _sent_now(case: Any) -> None:
    if FIRST_SENT in case.headers and REQUEST_ID in case.headers:
        case.headers[FIRST_SENT] = format_datetime(datetime.now(UTC), usegmt=True)
        case.headers[REQUEST_ID] = str(uuid4())


def _manifest(body: dict[str, Any]) -> None:
    body["modelIds"] = [KEPT["models"] for _ in body.get("modelIds") or ()]
    first, *others = body["assets"] or [{"url": "http://store/driver.py"}]
    others = [asset for asset in others if asset.get("id") != body["driverProgram"]]
    body["assets"] = [{**first, "id": body["driverProgram"]}, *others]


def _image(body: dict[str, Any]) -> None:
    body |= {"manifestId": KEPT["manifests"], "computeResourceId": KEPT["compute"]}


def _still(body: dict[str, Any]) -> None:
    """A service that starts no process, whatever it is made of."""
    scaler = {**(body.get("autoScaler") or {}), "autoscaleEnabled": False}
    body |= {"numReplicas": 0, "autoScaler": scaler, "imageId": KEPT["images"]}


def _service(body: dict[str, Any]) -> None:
    _still(body)
    body["computeResource"]["id"] = KEPT["compute"]


REFERRING = {
    ("POST", "/manifests"): _manifest,
    ("POST", "/images"): _image,
    ("POST", "/services"): _service,
    ("PUT", "/services/{id}"): _still,
}


@schemathesis.check
def takes_what_it_describes(context: Any, response: Any, case: Any) -> bool | None:
    """What the description allows is taken, but for the named rules."""
    if response.status_code < 500 and _is_excepted(response):
        return None
    return checks.positive_data_acceptance(context, response, case)


@schemathesis.check
def refuses_what_it_does_not_describe(context: Any, response: Any, case: Any) -> bool | None:
    """What the description forbids is refused, but for what the contract and the host have decided."""
    no_id = case.method == "DELETE" and response.status_code == 204  # api.md, 14: there is no such resource
    sent = parse_qsl(urlsplit(response.request.url).query, keep_blank_values=True)
    empty = any(not value for _, value in sent)  # the Functions host drops empty query values
    if no_id or empty:
        return None
    return checks.negative_data_rejection(context, response, case)


def _is_excepted(response: Any) -> bool:
    try:
        told = response.json()
    except ValueError:
        return False
    if not isinstance(told, dict) or "statusCode" not in told:
        return False
    messages = [detail["message"] for detail in told.get("details") or ()] or [told["message"]]
    return all(any(one.covers(told["code"], message) for one in REFUSED) for message in messages)
