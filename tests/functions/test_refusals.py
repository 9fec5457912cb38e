"""Refusals under /api are ErrorResponses, whatever was asked, by HTTP under the published Functions runtime."""

import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from local.host import routes, triggers, worker
from shared.bootstrap import slipway
from shared.version import VERSION
from tests.settings import SETTINGS

NOBODY = "01890000-0000-7000-8000-0000000000ff"
REPOSITORY = Path(__file__).parents[2]


def is_error(answer: httpx.Response, status: int, code: str) -> bool:
    told = answer.json()
    assert (answer.status_code, told["statusCode"], told["code"]) == (status, status, code), answer.text
    assert answer.headers["x-ms-error-code"] == code
    assert answer.headers["x-ms-request-id"]
    assert answer.headers["x-ms-client-request-id"] == "mine"
    return bool(told["message"])


@pytest.fixture
def origin(stack) -> str:
    url = urlsplit(stack.description["baseUrl"])
    return f"{url.scheme}://{url.netloc}"


@pytest.fixture
def anybody() -> httpx.Client:
    with httpx.Client(headers={"x-ms-client-request-id": "mine"}, timeout=60) as client:
        yield client


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
@pytest.mark.parametrize("path", ["", "/", "/nothing", "/subscriptions", "/subscriptions/a/resourceGroups/b/accounts/c"])
def test_an_unknown_path_is_an_error_response(anybody, origin, method, path):
    assert is_error(anybody.request(method, f"{origin}/api{path}"), 404, "NotFound")


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("model", "the nearest known is models"),
        (f"model/{NOBODY}", "the nearest known is models"),
        ("computeresource", "computeResources"),
        (f"models/{NOBODY}/logs", "models"),
        ("qqq", "known are computeResources, deployments, images"),
        ("m%6fdel%0A%2F..", "nearest known is models"),
        ("", "known are"),
    ],
)
def test_an_unknown_path_of_an_account_is_told_what_there_is(anybody, stack, path, named):
    answer = anybody.get(f"{stack.description['baseUrl']}/{path}")
    assert is_error(answer, 404, "NotFound")
    assert named in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "models", "GET, POST"),
        ("PUT", "models", "GET, POST"),
        ("OPTIONS", f"models/{NOBODY}", "DELETE, GET"),
        ("POST", f"MODELS/{NOBODY}/", "DELETE, GET"),
        ("PATCH", f"services/{NOBODY}", "DELETE, GET, PUT"),
        ("GET", f"services/{NOBODY}/regenerateKeys", "POST"),
        ("POST", "swagger.json", "GET"),
        ("PROPFIND", "computeResources/local", "DELETE, GET, PUT"),
    ],
)
def test_a_method_that_a_path_does_not_have_is_405_and_says_which_it_has(anybody, stack, method, path, allowed):
    answer = anybody.request(method, f"{stack.description['baseUrl']}/{path}")
    assert is_error(answer, 405, "MethodNotAllowed")
    assert answer.headers["Allow"] == allowed
    assert allowed in answer.json()["message"]


@pytest.mark.parametrize(("path", "status"), [("models", 405), ("nothing", 404)])
def test_head_is_refused_by_its_headers_alone(stack, path, status):
    url = urlsplit(stack.description["baseUrl"])
    connection = http.client.HTTPConnection(url.hostname, url.port)
    connection.request("HEAD", f"{url.path}/{path}")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (status, b"")
    assert answer.headers["x-ms-error-code"]
    connection.close()


@pytest.mark.parametrize("method", ["FOO", "get", "Get", "CONNECT", "X-Y_Z.1", "M" * 60])
@pytest.mark.parametrize(("path", "status"), [("models", 405), ("nothing", 404)])
def test_a_method_that_nobody_knows_is_refused_by_the_app_and_not_by_a_parser(stack, method, path, status):
    url = urlsplit(stack.description["baseUrl"])
    connection = http.client.HTTPConnection(url.hostname, url.port)
    connection.request(method, f"{url.path}/{path}")
    answer = connection.getresponse()
    told = json.loads(answer.read())
    assert (answer.status, told["statusCode"]) == (status, status)
    assert answer.headers.get("Allow") == ("GET, POST" if status == 405 else None)
    assert status == 404 or (method[:39] if method.isupper() else "upper case") in told["message"]
    connection.close()


async def test_what_refuses_unknown_paths_is_tried_after_all_other_functions(monkeypatch, tmp_path):
    for name, value in {**SETTINGS, "SLIPWAY_IMAGES": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    app = await worker.start(REPOSITORY)
    found = triggers.read(app.functions, {"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    table = routes.table((trigger for trigger in found if isinstance(trigger, triggers.HttpTrigger)), "api")
    assert table[-1].target.name == "zz_refuse_unknown"
    assert not table[-1].methods
    slipway.cache_clear()


def test_anybody_may_ask_whether_the_app_is_ready(anybody, origin):
    answer = anybody.get(f"{origin}/api/health")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "version": VERSION})
    assert answer.headers["x-ms-client-request-id"] == "mine"
    assert is_error(anybody.post(f"{origin}/api/health"), 405, "MethodNotAllowed")
