"""ACR Tasks on loopback: the management API and its storage, with the shapes of the published description's examples.

Source: Azure's REST API specifications, Microsoft.ContainerRegistry/RegistryTasks, 2025-03-01-preview.
"""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import AioHttpTransport

from shared.registries.resources import RegistryResource
from shared.tasks.runs import TaskRuns, cloud_of

SUBSCRIPTION, GROUP, REGISTRY = "4385cf00-2d3a-425a-832f-f4285b1c9dce", "myResourceGroup", "myRegistry"
RESOURCE_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.ContainerRegistry/registries/{REGISTRY}"
)
TOKEN, SIGNATURE = "the-app-s-own-token", "Z%2FRHIX5Xcg0Mq2rqI3OlWTjEg2tYkboXr1P9ZUXDtkk%3D"
SIGNED = f"sv=2015-04-05&se=2015-04-30T02%3A23%3A26Z&sr=b&sp=rw&sig={SIGNATURE}"
DENIED = {
    "error": {
        "code": "AuthorizationFailed",
        "message": f"The client does not have authorization to perform action over scope '{RESOURCE_ID}'.",
    }
}


@dataclass
class Trouble:
    """An answer in the place of the next one to such a request; status 0 breaks the connection."""

    method: str
    path: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass
class ScheduledRun:
    """A run, as the service has it."""

    id: str
    request: dict[str, Any]
    status: str = "Queued"
    log: bytes | None = None
    error: str = ""
    images: tuple[dict[str, str], ...] = ()
    cancelled: int = 0

    @property
    def resource(self) -> dict[str, Any]:
        properties = {
            "runId": self.id,
            "status": self.status,
            "lastUpdatedTime": "2019-09-06T17:23:21+00:00",
            "runType": "QuickBuild",
            "createTime": "2019-09-06T17:23:21.9261521+00:00",
            "platform": {"os": "Linux", "architecture": "amd64"},
            "agentConfiguration": {"cpu": 2},
            "provisioningState": "Succeeded",
            "isArchiveEnabled": False,
        }
        more = {"outputImages": list(self.images)} if self.images else {}
        more |= {"runErrorMessage": self.error} if self.error else {}
        kind = "Microsoft.ContainerRegistry/registries/runs"
        return {
            "type": kind,
            "properties": {**properties, **more},
            "id": f"{RESOURCE_ID}/runs/{self.id}",
            "name": self.id,
        }


class Acr:
    """The service. `task_runs` are what was begun, by name; `runs` all there ever were."""

    def __init__(self) -> None:
        self.task_runs: dict[str, ScheduledRun | None] = {}
        self.runs: dict[str, ScheduledRun] = {}
        self.contexts: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.troubles: list[Trouble] = []
        self.cancel_status = 200
        self.provisioning = "Creating"
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _any(self) -> None:
                service.serve(self)

            do_GET = do_PUT = do_POST = _any  # noqa: N815  # the names that http.server calls

            def log_message(self, *_: object) -> None:
                """Quietly."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def run(self) -> ScheduledRun:
        """The only run there is."""
        (run,) = self.runs.values()
        return run

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        url, body = urlsplit(request.path), request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.asked.append(f"{request.command} {url.path.removeprefix(RESOURCE_ID)}")
        for trouble in self.troubles:
            if request.command == trouble.method and trouble.path in url.path:
                self.troubles.remove(trouble)
                self._trouble(request, trouble)
                return
        if not url.path.startswith(RESOURCE_ID):
            self._blob(request, url.path, parse_qs(url.query), body)
        elif request.headers.get("Authorization") != f"Bearer {TOKEN}":
            _answer(request, 401, {"error": {"code": "AuthenticationFailed", "message": "Authentication failed."}})
        elif parse_qs(url.query) != {"api-version": ["2025-03-01-preview"]}:
            _answer(
                request, 400, {"error": {"code": "InvalidApiVersionParameter", "message": "The api-version is invalid."}}
            )
        else:
            self._managed(request, url.path.removeprefix(RESOURCE_ID), body)

    def _trouble(self, request: BaseHTTPRequestHandler, trouble: Trouble) -> None:
        if trouble.status:
            _answer(request, trouble.status, trouble.body, trouble.headers)
        else:
            request.close_connection = True
            request.connection.close()

    def _managed(self, request: BaseHTTPRequestHandler, path: str, body: bytes) -> None:
        routes: dict[str, Callable[..., None]] = {
            r"POST /listBuildSourceUploadUrl": self._upload_url,
            r"GET /taskRuns/([a-zA-Z0-9-]{5,50})": self._task_run,
            r"PUT /taskRuns/([a-zA-Z0-9-]{5,50})": self._begin,
            r"GET /runs/(\w+)": self._run,
            r"POST /runs/(\w+)/listLogSasUrl": self._log_url,
            r"POST /runs/(\w+)/cancel": self._cancel,
        }
        for route, serve in routes.items():
            if found := re.fullmatch(route, f"{request.command} {path}"):
                serve(request, *found.groups(), *([json.loads(body)] if request.command == "PUT" else []))
                return
        _answer(request, 400, {"error": {"code": "InvalidResource", "message": path}})

    def _upload_url(self, request: BaseHTTPRequestHandler) -> None:
        path = f"source/202601010000/{len(self.contexts)}.tar.gz"
        self.contexts[path] = b""
        _answer(request, 200, {"relativePath": path, "uploadUrl": f"{self.origin}/container/{path}?{SIGNED}"})

    def _task_run(self, request: BaseHTTPRequestHandler, name: str, status: int = 200) -> None:
        if name not in self.task_runs:
            message = f"The resource 'Microsoft.ContainerRegistry/registries/{REGISTRY}/taskRuns/{name}' was not found."
            _answer(request, 404, {"error": {"code": "ResourceNotFound", "message": message}})
            return
        run = self.task_runs[name]
        properties = {"provisioningState": self.provisioning} if run is None else {"runRequest": run.request}
        if run is not None:
            properties |= {"provisioningState": "Creating" if run.status == "Queued" else "Succeeded"}
            properties |= {"runResult": run.resource}
        kind = "Microsoft.ContainerRegistry/registries/TaskRuns"
        body = {"type": kind, "properties": properties, "id": f"{RESOURCE_ID}/taskRuns/{name}", "name": name}
        later = {"Azure-AsyncOperation": f"{self.origin}/operations/{name}?api-version=x", "Retry-After": "15"}
        _answer(request, status, body, later if status == 201 else {})

    def _begin(self, request: BaseHTTPRequestHandler, name: str, body: dict[str, Any]) -> None:
        asked = body["properties"]["runRequest"]
        before = self.task_runs.get(name)
        if not self.contexts.get(asked["sourceLocation"]):
            _answer(request, 400, {"error": {"code": "InvalidRunRequest", "message": "The source is not there."}})
            return
        if before is None or before.request != asked:
            run = ScheduledRun(f"yd{len(self.runs) + 1}", asked)
            self.task_runs[name] = self.runs[run.id] = run
        self._task_run(request, name, 200 if before else 201)

    def _run(self, request: BaseHTTPRequestHandler, run_id: str) -> None:
        _answer(request, 200, self.runs[run_id].resource)

    def _log_url(self, request: BaseHTTPRequestHandler, run_id: str) -> None:
        _answer(request, 200, {"logLink": f"{self.origin}/container/logs/{run_id}/rawtext.log?{SIGNED}"})

    def _cancel(self, request: BaseHTTPRequestHandler, run_id: str) -> None:
        self.runs[run_id].cancelled += 1
        self.runs[run_id].status = "Canceled"
        error = {"error": {"code": "RunNotCancellable", "message": "The run has ended."}}
        _answer(request, self.cancel_status, error if self.cancel_status >= 400 else None)

    def _blob(self, request: BaseHTTPRequestHandler, path: str, query: dict[str, list[str]], body: bytes) -> None:
        name = path.removeprefix("/container/")
        if "sig" not in query or request.headers.get("Authorization"):
            _answer(request, 403, None)
        elif request.command == "PUT":
            assert request.headers["x-ms-blob-type"] == "BlockBlob"
            assert name in self.contexts
            self.contexts[name] = body
            _answer(request, 201, None)
        else:
            self._range(request, self.runs[name.split("/")[1]].log)

    def _range(self, request: BaseHTTPRequestHandler, log: bytes | None) -> None:
        if log is None:
            _answer(request, 404, None)
            return
        first, last = (int(number) for number in request.headers["Range"].removeprefix("bytes=").split("-"))
        if first >= len(log):
            _answer(request, 416, None, {"Content-Range": f"bytes */{len(log)}"})
            return
        piece = log[first : last + 1]
        _answer(request, 206, piece, {"Content-Range": f"bytes {first}-{first + len(piece) - 1}/{len(log)}"})


def _answer(request: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    kind = "application/json" if isinstance(body, dict) else "text/html"
    request.send_response(status)
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


class Loopback(AioHttpTransport):
    """The client's own transport; what is meant for Azure Resource Manager goes to the service above."""

    def __init__(self, origin: str) -> None:
        super().__init__()
        self._origin = origin

    async def send(self, request: Any, **options: Any) -> Any:
        request.url = re.sub(r"^https://management\.azure\.com/+", f"{self._origin}/", request.url)
        return await super().send(request, **options)


class Credential:
    """The app's identity; `refused` when it has none."""

    def __init__(self) -> None:
        self.scopes: set[str] = set()
        self.refused: Exception | None = None

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        if self.refused:
            raise self.refused
        self.scopes.update(scopes)
        return AccessToken(TOKEN, 2**40)

    async def close(self) -> None:
        """Nothing to close."""


def task_runs(acr: Acr, credential: Credential, timeout: timedelta = timedelta(minutes=30)) -> TaskRuns:
    """The runs of that service."""
    return TaskRuns(
        RegistryResource.parse(RESOURCE_ID),
        cloud=cloud_of("myregistry.azurecr.io"),
        timeout=timeout,
        credential=lambda: credential,
        transport=Loopback(acr.origin),
    )
