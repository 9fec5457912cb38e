"""A stand-in for a kube-apiserver, on real HTTP and in memory: only its API, no controllers, no kubelet."""

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Self

import yaml
from aiohttp import web

from tests.clusters.stand_in import statuses
from tests.clusters.stand_in.admission import Admission
from tests.clusters.stand_in.callers import ADMIN, TOKEN, is_admin, kubeconfig, token_of
from tests.clusters.stand_in.exchange import Exchange, Target
from tests.clusters.stand_in.faults import Fault, Predicate, Request
from tests.clusters.stand_in.resources import (
    DEFINITIONS,
    NAMESPACES,
    OWN,
    Resource,
    defined,
    group,
    group_list,
    resource_list,
)
from tests.clusters.stand_in.statuses import Refused
from tests.clusters.stand_in.store import Store, Stored, Writer

VERSION = {"major": "1", "minor": "37", "gitVersion": "v1.37.0", "platform": "linux/amd64"}


class StandIn:
    """`async with StandIn() as cluster`: what arrives is checked as a kube-apiserver would, and kept in memory.

    `calls` are the requests so far; `denied` the permissions that the caller lacks, as `verb resource.group` or
    `verb resource/subresource.group`; `allowed`, unless it is None, all that it has; `needed` what it had to
    have so far; `tokens` who may call; `groups` more groups of the API that are served by others, of which
    those `down` do not answer; `kubelet` is asked for logs, by pod, container and whether those of the run before are
    meant; `admission` is what takes pods or does not. For `warming` seconds
    of `clock` after it was started again, it knows no permissions: everything is answered 403.
    """

    def __init__(self, *, validating: bool = True, tls: ssl.SSLContext | None = None) -> None:
        self.calls: list[tuple[str, str]] = []
        self.denied: set[str] = set()
        self.allowed: set[str] | None = None
        self.needed: set[str] = set()
        self.tokens = {TOKEN}
        self.groups: set[str] = set()
        self.kubelet: Callable[[str, str, bool], list[tuple[datetime | None, str]] | None] = lambda *_: None
        self.down: set[str] = set()
        self.admission: list[Admission] = []
        self.warming = 0.5
        self.clock = time.monotonic
        self._warm_at = 0.0
        self.store = Store(validating=validating)
        self._tls = tls
        self._faults: list[tuple[Predicate, Fault, list[int]]] = []
        self._logs: dict[tuple[str, str, bool], list[tuple[datetime | None, str]]] = {}
        self._leaving = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self.add_namespace("default")

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start_again(self) -> None:
        """It is back at its address, with all it held."""
        self._leaving = asyncio.Event()
        self._warm_at = self.clock() + self.warming
        await self._start()

    async def stop(self) -> None:
        """It is away, and whoever waits for an answer gets none."""
        self._leaving.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _start(self) -> None:
        application = web.Application(client_max_size=8 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls)
        await site.start()
        self._port = self._runner.addresses[0][1]

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def kubeconfig(self) -> str:
        """A kubeconfig for it, with a token."""
        return yaml.safe_dump(kubeconfig(self.url, {"token": TOKEN}))

    @property
    def admin_kubeconfig(self) -> str:
        """The same for an administrator, and for what plays the cluster's controllers."""
        return yaml.safe_dump(kubeconfig(self.url, {"token": ADMIN}))

    def fail_next(self, predicate: Predicate, fault: Fault) -> None:
        """Answer the next such requests so."""
        self._faults.append((predicate, fault, [0]))

    def heal(self) -> None:
        """No more faults."""
        self._faults.clear()

    def add_namespace(self, name: str) -> None:
        self.store.create(NAMESPACES, "", {"metadata": {"name": name}}, Writer("slipway-test"))

    def log(self, pod: str, text: str, *, container: str, previous: bool = False, at: datetime | None = None) -> None:
        """Have that container print that."""
        self._logs.setdefault((pod, container, previous), []).extend((at, line) for line in text.splitlines())

    def called(self, method: str, part: str = "") -> int:
        """How many such requests there were."""
        return sum(1 for asked, path in self.calls if asked == method and part in path)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fault = None
        if not is_admin(request):
            self.calls.append((request.method, request.path))
            fault = self._fault(Request(request.method, request.path, dict(request.query)))
        if fault is not None and not fault.done:
            return await self._fail(request, fault)
        try:
            answer = self._answer(request, body)
        except Refused as refused:
            answer = web.json_response(refused.status, status=refused.code, headers=refused.headers)
        return answer if fault is None else await self._fail(request, fault)

    def _fault(self, request: Request) -> Fault | None:
        for predicate, fault, used in self._faults:
            if (fault.times is None or used[0] < fault.times) and predicate(request):
                used[0] += 1
                return fault
        return None

    async def _fail(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.silent:
            await self._leaving.wait()
        elif fault.status:
            return web.Response(status=fault.status, body=fault.body, headers=fault.headers)
        else:
            response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"kind":')
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if not is_admin(request) and token_of(request) not in self.tokens and not request.get_extra_info("peercert"):
            raise statuses.unauthorized() if token_of(request) else statuses.anonymous(request.method.lower(), request.path)
        if not is_admin(request) and self.clock() < self._warm_at:
            raise statuses.forbidden_path(request.method.lower(), request.path)
        if request.path == "/version":
            return web.json_response(VERSION)
        parts = request.path.strip("/").split("/")
        if parts[0] == "apis" and len(parts) < 4:
            return self._discovered(parts[1:])
        if request.path.endswith("/selfsubjectaccessreviews"):
            return self._reviewed(json.loads(body))
        api_version, rest = ("v1", parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces" and (rest[2] != "finalize"):
            namespace, rest = rest[1], rest[2:]
        plural, name, subresource = (*rest, "", "", "")[:3]
        resource = self._resource(api_version, plural)
        if resource is None and api_version in {one.api_version for one in self._served()}:
            raise statuses.no_such_resource()
        if resource is None:
            return web.Response(status=404, text="404 page not found\n")
        return Exchange(self, request, body, Target(resource, namespace, name, subresource)).answer()

    def _served(self) -> list[Resource]:
        definitions = self.store.objects.get(DEFINITIONS, {}).values()
        return [*OWN, *(one for stored in definitions for one in defined(stored.document))]

    def _resource(self, api_version: str, plural: str) -> Resource | None:
        return next((one for one in self._served() if (one.api_version, one.plural) == (api_version, plural)), None)

    def _discovered(self, parts: list[str]) -> web.StreamResponse:
        served = {one.api_version for one in self._served() if one.group} | {f"{one}/v1" for one in self.groups}
        if not parts:
            return web.json_response(group_list(served))
        named = "/".join(parts)
        if len(parts) == 1 and any(one.startswith(f"{named}/") for one in served):
            return web.json_response(group(named, served))
        if named in served and parts[0] in self.down:
            return web.Response(status=503, text="service unavailable\n")
        if named in served:
            return web.json_response(resource_list(named, [one for one in self._served() if one.api_version == named]))
        return web.Response(status=404, text="404 page not found\n")

    def _reviewed(self, review: dict[str, Any]) -> web.StreamResponse:
        about = review["spec"]["resourceAttributes"]
        review["status"] = {
            "allowed": not self.denies(about["verb"], about["resource"], about["group"], about.get("subresource", ""))
        }
        return web.json_response(review, status=201)

    def denies(self, verb: str, plural: str, api_group: str, subresource: str) -> bool:
        named = f"{plural}/{subresource}" if subresource else plural
        asked = f"{verb} {named}.{api_group}".rstrip(".")
        self.needed.add(asked)
        return asked in self.denied or (self.allowed is not None and asked not in self.allowed)

    def log_of(self, pod: Stored, container: str, *, previous: bool) -> list[tuple[datetime | None, str]]:
        """Raises Refused as the API server does when there is none."""
        name = pod.document["metadata"]["name"]
        if container not in [one["name"] for one in pod.document["spec"]["containers"]]:
            raise statuses.bad_request(f"container {container} is not valid for pod {name}")
        found = self._logs.get((name, container, previous)) or self.kubelet(name, container, previous)
        if found is None and previous:
            raise statuses.bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        return found or []
