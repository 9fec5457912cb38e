"""What a stack tells others while it works: traces and metrics to a collector, signed events to a webhook, a log."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from standardwebhooks import Webhook

from local.azurite.server import free_ports
from tests.conftest import Stack
from tests.uploads import Road, finished
from tests.waiting import eventually

SECRET = "whsec_" + "c2VjcmV0" * 4


class Listener:
    """A collector of telemetry and a receiver of webhooks, which is down for the first one."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.metrics: dict[str, set[tuple[tuple[str, str], ...]]] = {}
        self.events: list[dict[str, object]] = []
        self.refused = 0
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(listener.take(self.path, dict(self.headers), body))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quietly."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            self._measured(ExportMetricsServiceRequest.FromString(body))
        elif self.refused < 1:
            self.refused += 1
            return 503
        else:
            lower = {name.lower(): value for name, value in headers.items()}
            self.events.append(Webhook(SECRET).verify(body, lower))
        return 200

    def _measured(self, request: ExportMetricsServiceRequest) -> None:
        for resource in request.resource_metrics:
            for metric in [metric for scope in resource.scope_metrics for metric in scope.metrics]:
                points = [*metric.sum.data_points, *metric.histogram.data_points]
                labels = {tuple((pair.key, pair.value.string_value) for pair in point.attributes) for point in points}
                self.metrics.setdefault(metric.name, set()).update(labels)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    listening = Listener()
    yield listening
    listening.stop()


@pytest.fixture(scope="module")
def told(listener, tmp_path_factory, layer_cache) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("told"), layer_cache, free_ports(1)[0])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", listener.url)
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        environment.setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")
        environment.setenv("SLIPWAY_EVENTS_ENDPOINT", f"{listener.url}/hook")
        environment.setenv("SLIPWAY_EVENTS_KEY", SECRET)
        stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def build(told) -> dict[str, str]:
    """A build as a traced caller asks for it."""
    trace, span = uuid4().hex, uuid4().hex[:16]
    with told.client() as api:
        road = Road(api, told.description)
        body = {"name": "m", "url": "http://slipway.invalid/m?sig=SECRET", "mimeType": "application/json"}
        model = api.post("models", json=body).json()["id"]
        manifest_id = road.manifest()
        api.headers["traceparent"] = f"00-{trace}-{span}-01"
        accepted = road.build(manifest_id)
        operation = finished(api, accepted)
        assert operation["state"] == "Succeeded"
        del api.headers["traceparent"]
        held_up = road.build(road.manifest(models=(model,))).headers["Operation-Location"]
        eventually(lambda: api.get(held_up).json().get("waitingFor"))
        assert api.post(f"{held_up}/cancel").status_code == 202
    return {
        "trace": trace,
        "span": span,
        "model": model,
        "operation": accepted.headers["Operation-Location"].rpartition("/")[2],
        "image": operation["resourceLocation"].rpartition("/")[2],
    }


def test_one_trace_shows_a_request_from_its_post_to_its_last_step(listener, build):
    def mine() -> dict[bytes, Span]:
        return {span.span_id: span for span in listener.spans if span.trace_id.hex() == build["trace"]}

    def parents() -> set[bytes]:
        return {span.parent_span_id for span in mine().values()} - {bytes.fromhex(build["span"])}

    steps = ["begin", "resolve", "dependencies", "content", "publish"]
    wanted = {"POST images", "run_operation", *(f"build-image {step}" for step in steps)}
    eventually(lambda: {span.name for span in mine().values()} >= wanted)
    eventually(lambda: parents() <= set(mine()))
    spans = mine()
    (root,) = [span for span in spans.values() if span.name == "POST images"]
    assert root.parent_span_id.hex() == build["span"]
    looked, pushed = [span for span in spans.values() if span.name == "build-image publish"]
    for last in (looked, pushed):
        assert {pair.key: pair.value.string_value for pair in last.attributes}["operation"] == build["operation"]


def test_metrics_count_operations_by_kind_and_state_and_time_steps_and_waiting(listener, build):
    of_builds = ("workflow", "build-image")
    for name, what in {
        "slipway.operations": ("state", "Succeeded"),
        "slipway.step.duration": ("step", "publish"),
        "slipway.retries": ("step", "content"),
    }.items():
        eventually(lambda name=name, what=what: (of_builds, what) in listener.metrics.get(name, ()))
    assert eventually(lambda: listener.metrics.get("slipway.queue.age"))


def test_events_reach_a_webhook_signed_each_in_its_order_though_it_was_down_at_first(listener, build):
    def states(subject: str) -> list[str]:
        ours = [str(event["type"]) for event in listener.events if event["subject"] == subject]
        return list(dict.fromkeys(kind.rpartition(".")[2] for kind in ours))

    eventually(lambda: states(f"images/{build['image']}")[-1:] == ["succeeded"])
    assert states(f"images/{build['image']}") == ["accepted", "running", "succeeded"]
    eventually(lambda: states(f"operations/{build['operation']}") == ["accepted", "running", "succeeded"])
    eventually(lambda: states(f"models/{build['model']}") == ["registered"])
    assert listener.refused == 1


def test_the_log_has_one_line_for_each_transition_and_no_signature(told, build):
    def lines() -> list[str]:
        text = (told.home / "logs" / "host.log").read_text()
        return [line for line in text.splitlines() if f"operation={build['operation']}" in line]

    steps = ["begin", "begin", "resolve", "dependencies", "content", "publish", "publish"]
    eventually(lambda: len(lines()) >= len(steps))
    assert "outcome=Accepted state=NotStarted" in lines()[0]
    for step, line in zip(steps, lines(), strict=True):
        assert f"resource={build['image']}" in line
        assert f" step={step} " in line
        assert "attempt=1" in line
        assert "seconds=" in line
    assert "SECRET" not in (told.home / "logs" / "host.log").read_text()
