"""A front end for pods that are only played: no process runs, but what answers is the scoring server's own code."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import web

from runtime.slipway_server.drivers.driver import Driver
from runtime.slipway_server.http.messages import Headers, Request, Response
from runtime.slipway_server.metrics import Metrics
from runtime.slipway_server.scoring import Scoring
from runtime.slipway_server.settings import Settings
from runtime.slipway_server.work.workers import Workers
from tests.clusters.cluster import Cluster, Object
from tests.clusters.front_end.routes import led, routes
from tests.clusters.node.environment import environment_of
from tests.clusters.node.volumes import Volumes


class FrontEndOfTest:
    """Leads to the pods that are played ready; each answers by its own environment, labels and Secret."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._turns = count()
        self.address = ""
        self.broken = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FrontEndOfTest"]:
        application = web.Application()
        application.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        taken = next((route for route in await routes(self._cluster) if route.takes(request.path)), None)
        if taken is None or self.broken:
            return web.Response(status=404)
        pods = (await led(self._cluster, taken)).pods
        if not pods:
            return web.Response(status=503)
        with tempfile.TemporaryDirectory() as folder:
            pod = pods[next(self._turns) % len(pods)]
            scoring = await self._scoring(pod, Path(folder))
            answer = _answered(scoring, request)
        return web.Response(status=answer.status, body=answer.body, headers=answer.fields)

    async def _scoring(self, pod: Object, folder: Path) -> Scoring:
        """What the process in that pod would answer with, once its driver is there."""
        volumes = Volumes(self._cluster, pod, folder / "volumes")
        await volumes.prepare()
        settings = Settings.of({"SLIPWAY_DRIVER": "driver.py", **await environment_of(self._cluster, pod)})
        mounts = {mount["mountPath"]: mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
        scoring = Scoring(replace(settings, keys=volumes.place(mounts[str(settings.keys)])), folder, (), Metrics(), 0)
        scoring.ready(Driver(_echo, Workers(1), folder))
        return scoring


async def _echo(body: Any) -> Any:
    return body


def _answered(scoring: Scoring, request: web.Request) -> Response:
    given: list[Response] = []
    asked = Request.of(request.method, request.path, Headers(request.headers.items()), b"", keep_alive=True)
    scoring.answer(asked, given.append)
    return given[0]
