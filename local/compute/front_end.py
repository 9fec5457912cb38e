"""The front end: gives services their addresses, checks keys, and hands requests to replicas with a free slot.

Source: client-facts.md, 13, 28, 32 and 33.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from local.compute.answers import REQUEST_ID, REQUEST_ID_HEADER, answered
from local.compute.limits import Limits
from local.compute.pool import Backend, Pool
from local.compute.service import Service
from shared.domain.errors import NotFound, ServiceError, TooLarge, Unauthenticated

_NOTICED_WITHIN = 1.0  # seconds in which the end of a process is noticed, and far more
_PREFIX = "/api/v1/service/{name}"
_REVISION = "x-slipway-revision"
"""The header by which a health check tells who sends a key which revision of the service answers."""
# RFC 9110, 7.6.1: what concerns one connection only.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_FOR_REPLICAS = _HOP_BY_HOP | {"authorization", "content-length", "expect", "host", REQUEST_ID_HEADER}
_NOT_FOR_CALLERS = _HOP_BY_HOP | {"content-length"}
_ADDED_BY_CLIENT = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class FrontEnd:
    """Handles the calls of services; `named` finds a service that takes calls."""

    def __init__(self, named: Callable[[str], Service | None], session: aiohttp.ClientSession, limits: Limits) -> None:
        self._named = named
        self._session = session
        self._limits = limits

    def application(self) -> web.Application:
        """The front end as a web application."""
        app = web.Application(middlewares=[answered], client_max_size=self._limits.most_body)
        app.on_response_prepare.append(_tell_no_version)
        app.router.add_post(f"{_PREFIX}/score", self._call)
        app.router.add_get(f"{_PREFIX}/swagger.json", self._call, allow_head=False)
        app.router.add_get(f"{_PREFIX}/openapi.json", self._call, allow_head=False)
        app.router.add_get(f"{_PREFIX}/", self._health, allow_head=False)
        return app

    async def _call(self, request: web.Request) -> web.StreamResponse:
        service = self._authorized(request)
        body = await self._body(request)
        return await self._in_time(self._answer(request, body, service.pool))

    async def _health(self, request: web.Request) -> web.StreamResponse:
        """One word for a stranger; who sends a key is told the revision, too. It takes no slot, and wakes no replica."""
        service = self._service(request)
        backend = service.pool.glance()
        answer = await self._in_time(self._forward(request, b"", backend))
        if _has_key(request, service):
            answer.headers[_REVISION] = backend.revision
        return answer

    async def _in_time(self, answering: Awaitable[web.Response]) -> web.Response:
        try:
            async with asyncio.timeout(self._limits.request_timeout):
                return await answering
        except TimeoutError:
            message = f"There was no answer within {self._limits.request_timeout:g} seconds."
            raise ServiceError(message, code="RequestTimedOut", status_code=504) from None
        except aiohttp.ClientError:
            raise ServiceError("The replica that had the request failed.", code="ReplicaFailed", status_code=502) from None

    async def _answer(self, request: web.Request, body: bytes, pool: Pool) -> web.Response:
        """A replica's answer. A failing replica keeps its slot until its end is noticed: nobody else is sent there.

        A request that never reached it goes to another.
        """
        while True:
            async with pool.slot() as backend:
                try:
                    return await self._forward(request, body, backend)
                except aiohttp.ClientError as error:
                    ended = await backend.ended(_NOTICED_WITHIN)
                    if not (ended and isinstance(error, aiohttp.ClientConnectorError)):
                        raise

    def _service(self, request: web.Request) -> Service:
        service = self._named(request.match_info["name"])
        if service is None:
            raise NotFound("There is no such service here.", code="ServiceNotFound")
        return service

    def _authorized(self, request: web.Request) -> Service:
        service = self._service(request)
        if not _has_key(request, service):
            raise Unauthenticated("Send 'Authorization: Bearer <key>' with one of the service's keys.")
        return service

    async def _body(self, request: web.Request) -> bytes:
        """The whole body, before the request takes or waits for a slot: a slow caller holds up nobody else."""
        try:
            async with asyncio.timeout(self._limits.request_timeout):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise TooLarge(f"A body may hold {self._limits.most_body} bytes.") from None
        except TimeoutError:
            raise ServiceError("The body did not arrive in time.", code="RequestTimeout", status_code=408) from None

    async def _forward(self, request: web.Request, body: bytes, backend: Backend) -> web.Response:
        """The replica's answer, whole: its slot is free again however slowly the caller reads."""
        path = "/" + request.path.rpartition("/")[2]
        target = URL.build(path=path, query_string=request.rel_url.raw_query_string, encoded=True)
        headers = _end_to_end(request.headers, _NOT_FOR_REPLICAS)
        headers[REQUEST_ID_HEADER] = request[REQUEST_ID]
        headers["Authorization"] = f"Bearer {backend.credential}"
        async with self._session.request(
            request.method,
            backend.url.join(target),
            headers=headers,
            data=body or None,
            allow_redirects=False,
            skip_auto_headers=_ADDED_BY_CLIENT,
        ) as answer:
            content = await answer.read()
        return web.Response(status=answer.status, headers=_end_to_end(answer.headers, _NOT_FOR_CALLERS), body=content)


async def _tell_no_version(_: web.Request, answer: web.StreamResponse) -> None:
    answer.headers["Server"] = "slipway"  # else aiohttp names itself and Python, with their versions


def _has_key(request: web.Request, service: Service) -> bool:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and service.accepts(key.strip())


def _end_to_end(headers: Mapping[str, str], ending_here: frozenset[str]) -> CIMultiDict[str]:
    """Those headers that are for the other end: RFC 9110, 7.6.1."""
    if "Connection" in headers:
        ending_here |= {name.strip().lower() for name in headers["Connection"].split(",")}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in ending_here)
