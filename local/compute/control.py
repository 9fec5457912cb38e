"""The control API: what the adapter of the port Compute asks of the node. All but the health check needs the token."""

import hmac
from datetime import datetime

from aiohttp import web

from local.compute.answers import Handler, answered
from local.compute.node import Node
from local.compute.state import Deployment
from shared.compute.local_process import DeploymentRequest, KeyDigests, digest_of
from shared.domain.computing import LogQuery
from shared.domain.errors import NotFound, Unauthenticated
from shared.domain.ids import canonical
from shared.domain.wire import parse

_DEPLOYMENT = "/services/{service}/deployments/{deployment}"


class Control:
    """Handles commands. Each may be repeated harmlessly, and is kept when it is answered."""

    def __init__(self, node: Node, token: str) -> None:
        self._node = node
        self._expected = digest_of(f"Bearer {token}")

    def application(self) -> web.Application:
        """The control API as a web application."""

        @web.middleware
        async def authorized(request: web.Request, handler: Handler) -> web.StreamResponse:
            given = digest_of(request.headers.get("Authorization", ""))
            if request.path != "/" and not hmac.compare_digest(given, self._expected):
                raise Unauthenticated("The control API needs its token.")
            return await handler(request)

        app = web.Application(middlewares=[answered, authorized])
        app.router.add_get("/", self._health)
        app.router.add_put(_DEPLOYMENT, self._deploy)
        app.router.add_get(_DEPLOYMENT, self._rollout)
        app.router.add_delete(_DEPLOYMENT, self._roll_back)
        app.router.add_put("/services/{service}/keys", self._keys)
        app.router.add_get("/services/{service}/logs", self._logs)
        app.router.add_delete("/services/{service}/route", self._withdraw)
        app.router.add_delete("/services/{service}", self._remove)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(text="Healthy")

    async def _deploy(self, request: web.Request) -> web.Response:
        asked = parse(DeploymentRequest, await request.read())
        self._node.deploy(_id(request, "service"), Deployment.of(_id(request, "deployment"), asked))
        return _done()

    async def _rollout(self, request: web.Request) -> web.Response:
        status = self._node.rollout(_id(request, "service"), _id(request, "deployment"))
        return web.Response(text=status.json_text(), content_type="application/json")

    async def _roll_back(self, request: web.Request) -> web.Response:
        self._node.roll_back(_id(request, "service"), _id(request, "deployment"))
        return _done()

    async def _keys(self, request: web.Request) -> web.Response:
        self._node.change_keys(_id(request, "service"), parse(KeyDigests, await request.read()))
        return _done()

    async def _withdraw(self, request: web.Request) -> web.Response:
        self._node.withdraw(_id(request, "service"))
        return _done()

    async def _logs(self, request: web.Request) -> web.Response:
        since, replica = request.query["since"], request.query["replica"]
        query = LogQuery(int(request.query["tail"]), datetime.fromisoformat(since) if since else None, replica or None)
        printed = await self._node.printed(_id(request, "service"), query)
        return web.Response(text=printed.json_text(), content_type="application/json")

    async def _remove(self, request: web.Request) -> web.Response:
        await self._node.remove(_id(request, "service"))
        return _done()


def _id(request: web.Request, name: str) -> str:
    """An id becomes a file's name: nothing but a canonical UUID will do."""
    identifier = canonical(request.match_info[name])
    if identifier is None:
        raise NotFound(f"The {name} in this path is not a UUID.")
    return identifier


def _done() -> web.Response:
    return web.Response(status=204)
