"""Reports to Application Insights, as its endpoint gets them: the published exporter's envelopes, over real HTTP."""

import asyncio
import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runtime.slipway_server.http.messages import CURRENT
from runtime.slipway_server.telling.teller import Teller
from tests.runtime.replicas import RUNTIME, Start, free_port
from tests.runtime.telling import answered, app, at_work, count, request
from tests.waiting import until

KEY = "0af76519-16cd-43dd-8448-eb211c80319c"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACEBACK = "run failed.\nTraceback (most recent call last):\n  File \"score.py\", line 2, in run\nKeyError: 'age'\n"

type Find = Callable[[str], list[dict[str, Any]]]


class Endpoint:
    """An ingestion endpoint: keeps what it is sent, and fails as often as it is told to."""

    def __init__(self, port: int = 0) -> None:
        self.envelopes: list[dict[str, Any]] = []
        self.failures = 0
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                endpoint.take(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def connection_string(self) -> str:
        return f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:{self._server.server_port}/;"

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        plain = gzip.decompress(body) if handler.headers.get("content-encoding") == "gzip" else body
        sent = json.loads(plain)
        failed = self.failures > 0
        self.failures -= failed
        if not failed:
            self.envelopes += sent
        taken = 0 if failed else len(sent)
        answer = json.dumps({"itemsReceived": len(sent), "itemsAccepted": taken, "errors": []}).encode()
        handler.send_response(503 if failed else 200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [envelope for envelope in self.envelopes if envelope["data"]["baseType"] == kind]

    async def until(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        async def are_there() -> bool:
            return len(self.of(kind)) >= count

        await until(are_there)
        return self.of(kind)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.close()


def settings(connection_string: str) -> dict[str, str]:
    return {
        "AML_APP_INSIGHTS_ENABLED": "true",
        "AML_APP_INSIGHTS_KEY": connection_string,
        "SERVICE_NAME": "iris",
        "SERVICE_VERSION": "7",
        "SLIPWAY_COLLECTION_SECONDS": "0.05",
    }


@pytest.fixture
async def teller(endpoint: Endpoint, tmp_path: Path) -> Any:
    telling = Teller(settings(endpoint.connection_string), app(tmp_path / "app"))
    yield telling
    await telling.close()


async def test_a_request_is_reported_under_the_trace_it_came_with(teller: Teller, endpoint: Endpoint) -> None:
    answered(teller, {"secret": 1}, 2, id="r1", at=1_504_267_200.25, traceparent=TRACE, authorization="Bearer k")
    [envelope] = await endpoint.until("RequestData")
    data = envelope["data"]["baseData"]
    assert (envelope["name"], envelope["iKey"]) == ("Microsoft.ApplicationInsights.Request", KEY)
    assert envelope["time"] == "2017-09-01T12:00:00.250000Z"
    assert (data["name"], data["responseCode"], data["success"], data["duration"]) == (
        "POST /score", "200", True, "0.00:00:00.250",
    )  # fmt: skip
    assert data["properties"] == {"requestId": "r1"}
    tags = envelope["tags"]
    assert (tags["ai.operation.id"], tags["ai.operation.parentId"]) == (TRACE[3:35], TRACE[36:52])
    assert (tags["ai.cloud.role"], tags["ai.application.ver"]) == ("iris", "7")
    assert "secret" not in json.dumps(endpoint.envelopes)
    assert "Bearer" not in json.dumps(endpoint.envelopes)


async def test_a_request_that_failed_is_reported_as_such(teller: Teller, endpoint: Endpoint) -> None:
    for status in (400, 500):
        answered(teller, 1, 2, status=status, id=str(status))
    data = [envelope["data"]["baseData"] for envelope in await endpoint.until("RequestData", 2)]
    assert [(one["responseCode"], one["success"]) for one in data] == [("400", False), ("500", False)]


async def test_log_lines_and_exceptions_are_reported_under_their_request(teller: Teller, endpoint: Endpoint) -> None:
    with_request = CURRENT.set(request(1, id="r1", traceparent=TRACE))
    teller.logged("WARNING", "a drift")
    teller.logged("ERROR", TRACEBACK)
    CURRENT.reset(with_request)
    teller.logged("INFO", "from init")
    answered(teller, 1, 2, id="r1", traceparent=TRACE)
    drift, init = await endpoint.until("MessageData", 2)
    [raised] = await endpoint.until("ExceptionData")
    [scored] = await endpoint.until("RequestData")
    assert (drift["data"]["baseData"]["message"], drift["data"]["baseData"]["severityLevel"]) == ("a drift", 2)
    assert drift["data"]["baseData"]["properties"]["requestId"] == "r1"
    assert init["data"]["baseData"]["message"] == "from init"
    [exception] = raised["data"]["baseData"]["exceptions"]
    assert (exception["typeName"], exception["message"], exception["stack"]) == ("KeyError", "'age'", TRACEBACK)
    for envelope in (drift, raised):
        assert envelope["tags"]["ai.operation.id"] == TRACE[3:35]
        assert envelope["tags"]["ai.operation.parentId"] == scored["data"]["baseData"]["id"]


async def test_http_requests_of_the_driver_are_dependencies(endpoint: Endpoint, tmp_path: Path) -> None:
    program = f"""
import asyncio, os, sys, time, urllib.error, urllib.request
from pathlib import Path
sys.path.insert(0, {str(RUNTIME)!r})
from slipway_server.http.messages import CURRENT, Headers, Request
from slipway_server.telling import observers
[teller] = observers(os.environ, Path.cwd())
fields = Headers([("x-request-id", "r1"), ("traceparent", {TRACE!r})])
CURRENT.set(Request.of("POST", "/score", fields, b"", keep_alive=True))
import requests
requests.post({_origin(endpoint)!r} + "/v2/features?sig=secret", json=[])
try:
    urllib.request.urlopen("http://127.0.0.1:{free_port()}/away")
except urllib.error.URLError:
    pass
while 'slipway_told_total{{destination="app_insights"}} 2' not in teller.metrics():
    time.sleep(0.05)
asyncio.run(teller.close())
"""
    environment = {**settings(endpoint.connection_string), "NO_PROXY": "*"}
    command = [sys.executable, "-c", program]
    await asyncio.to_thread(subprocess.run, command, env=environment, cwd=tmp_path, check=True, timeout=60)
    seen, away = sorted(
        endpoint.of("RemoteDependencyData"), key=lambda envelope: envelope["data"]["baseData"]["resultCode"]
    )[::-1]
    data = seen["data"]["baseData"]
    assert (data["name"], data["type"], data["resultCode"], data["success"]) == ("POST /v2/features", "HTTP", "200", True)
    assert data["data"] == f"{_origin(endpoint)}/v2/features"
    assert data["target"] == _origin(endpoint).removeprefix("http://")
    assert seen["tags"]["ai.operation.id"] == TRACE[3:35]
    assert away["data"]["baseData"]["success"] is False
    assert "secret" not in json.dumps(endpoint.envelopes)


def _origin(endpoint: Endpoint) -> str:
    return endpoint.connection_string.partition("IngestionEndpoint=")[2].rstrip("/;")


@pytest.mark.parametrize("processes", [1, 2])
async def test_why_a_driver_did_not_start_is_reported(start: Start, endpoint: Endpoint, processes: int) -> None:
    source = """
    import os, time
    def init():
        print("from init")
        while not os.path.exists("go"):
            time.sleep(0.01)
        raise ValueError("no model here")
    def run(body):
        return body
    """
    replica = start(source, environment=settings(endpoint.connection_string), processes=processes)
    await endpoint.until("MessageData")
    (replica.folder / "go").touch()
    assert await asyncio.to_thread(replica.ended) == 1
    told = [envelope["data"]["baseData"]["message"] for envelope in endpoint.of("MessageData")]
    assert told == ["from init", "The driver did not start: ValueError: no model here"]
    assert replica.errors.endswith("ValueError: no model here\n")


async def test_what_the_endpoint_did_not_take_is_sent_again(teller: Teller, endpoint: Endpoint) -> None:
    endpoint.failures = 2
    answered(teller, 1, 2, id="r1")
    [envelope] = await endpoint.until("RequestData")
    assert envelope["data"]["baseData"]["properties"]["requestId"] == "r1"

    async def told() -> bool:
        return count(teller, "told", "app_insights") == 1

    await until(told)
    assert count(teller, "lost", "app_insights") == 0


async def test_an_endpoint_that_is_away_costs_no_answer_and_what_is_lost_is_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    away = f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:{free_port()}"
    teller = Teller(settings(away), app(tmp_path / "app"))
    began = time.perf_counter()
    for number in range(1000):
        answered(teller, 1, 2, id=str(number))
    assert time.perf_counter() - began < 1

    async def said() -> bool:
        return "app_insights does not answer" in capfd.readouterr().out

    await until(said)
    await teller.close()
    assert count(teller, "lost", "app_insights") + count(teller, "dropped") == 1000


async def test_what_is_no_key_is_said_without_saying_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    teller = Teller(settings("not-a-key"), app(tmp_path / "app"))
    answered(teller, 1, 2)
    await at_work(teller, "app_insights")
    await teller.close()
    said = capfd.readouterr().out
    assert "app_insights was not told" in said
    assert "not-a-key" not in said
