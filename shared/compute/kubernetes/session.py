"""Calls to one API server, each within a time limit. The connection is made at the first of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.compute.kubernetes.encoding import applied_text
from shared.compute.kubernetes.endpoint import Endpoint, client
from shared.compute.kubernetes.failures import Answer, unreachable
from shared.domain.errors import Unavailable
from shared.domain.fencing import check_fence

if TYPE_CHECKING:
    import aiohttp
    from kubernetes.aio.client import ApiClient

type Connect = Callable[[], Awaitable[Endpoint]]
"""Finds out where the API server is and how one signs in, anew each time."""

APPLY = "application/apply-patch+yaml; charset=utf-8"
"""Of server-side apply. With the charset, which API servers skip, the package hands a body on as it is."""
SECONDS = 15.0
_CHUNK = 64 * 1024
_EFFECTS = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Call:
    """One call. `doing` is for errors: the verb, the kind, the name. `most` is how much of the answer's end is kept."""

    method: str
    path: str
    doing: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    content_type: str = "application/json"
    most: int | None = None


class Session:
    """One API server. `calls` counts what was asked of it."""

    def __init__(self, connect: Connect, *, seconds: float = SECONDS) -> None:
        self._connect = connect
        self._seconds = seconds
        self._opened: _Opened | None = None
        self._closed = False
        self._opening = asyncio.Lock()
        self.calls = 0

    async def answer(self, call: Call) -> Answer:
        """The answer, whatever its status. A caller who is not known any more signs in anew, once; where nobody answers,
        the next call finds out anew where the API server is.

        Raises Unavailable, LeaseLost before an effect, and ConnectionInvalid.
        """
        import aiohttp  # noqa: PLC0415  # only who has a cluster pays

        opened: _Opened | None = None
        try:
            async with asyncio.timeout(self._seconds):
                opened = await self._current()
                answer = await self._answer(opened, call)
                if answer.status == 401:
                    answer = await self._answer(await self._current(refused=opened), call)
                return answer
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            if opened is not None and isinstance(error, aiohttp.ClientConnectorError):
                await self._forget(opened)
            raise unreachable(error, call.doing) from error

    async def close(self) -> None:
        """Close its connections, when the calls under way have ended. Later ones find the cluster unavailable."""
        async with self._opening:
            self._closed = True
            if self._opened is not None:
                await self._opened.retire()

    async def _current(self, refused: "_Opened | None" = None) -> "_Opened":
        async with self._opening:
            if self._closed:
                raise Unavailable("The connection to the cluster was closed.", code="ClusterUnavailable")
            if self._opened is None or self._opened is refused:
                before, self._opened = self._opened, _Opened(client(await self._connect()))
                if before is not None:
                    await before.retire()
            return self._opened

    async def _forget(self, opened: "_Opened") -> None:
        if self._opened is opened:
            self._opened = None
            await opened.retire()

    async def _answer(self, opened: "_Opened", call: Call) -> Answer:
        headers = {"Accept": "application/json, */*", "Content-Type": call.content_type}
        async with opened.used() as api:
            signed = await api.param_serialize(
                call.method, call.path, query_params=call.query, header_params=headers, auth_settings=["BearerToken"]
            )
            if call.method in _EFFECTS:
                check_fence()
            self.calls += 1
            answered = await api.call_api(*signed[:3], body=_body(call), _request_timeout=_no_limit())
            async with answered.response as response:
                return Answer(response.status, response.headers, await _read(response, call.most))


class _Opened:
    """A client that is closed when it is retired and nobody uses it any more."""

    def __init__(self, api: "ApiClient") -> None:
        self._api = api
        self._users = 0
        self._retired = False

    @asynccontextmanager
    async def used(self) -> AsyncIterator["ApiClient"]:
        self._users += 1
        try:
            yield self._api
        finally:
            self._users -= 1
            await self._close_when_done()

    async def retire(self) -> None:
        self._retired = True
        await self._close_when_done()

    async def _close_when_done(self) -> None:
        if self._retired and not self._users:
            await self._api.close()  # type: ignore[no-untyped-call]


def _body(call: Call) -> Mapping[str, Any] | bytes | None:
    return applied_text(call.body) if call.body is not None and call.content_type == APPLY else call.body


def _no_limit() -> "aiohttp.ClientTimeout":
    """The limit of a call is around all of it, signing in included."""
    import aiohttp  # noqa: PLC0415

    return aiohttp.ClientTimeout(total=None)


async def _read(response: "aiohttp.ClientResponse", most: int | None) -> bytes:
    if most is None:
        return await response.read()
    kept = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        kept += chunk
        del kept[:-most]
    return bytes(kept)
