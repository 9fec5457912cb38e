"""Tags of Azure's registries, deleted by Azure's own client: there, the address of OCI deletes the manifest, too."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import AioHttpTransport, AioHttpTransportResponse

from shared.domain.errors import foreign
from shared.registries.refusals import STAYS, refusal

if TYPE_CHECKING:
    from azure.containerregistry.aio import ContainerRegistryClient

type Send = Callable[[str, str], Awaitable[aiohttp.ClientResponse]]
"""Sends a request of that method to that URL, signed as the registry wants it."""


class AzureTags:
    """The tags of one repository."""

    def __init__(self, url: str, repository: str, session: aiohttp.ClientSession, send: Send) -> None:
        self._url = url
        self._repository = repository
        self._transport = _Connections(session, send)

    async def delete(self, tag: str) -> bool:
        """Delete the tag alone, harmless when nothing has it; False where the registry deletes none. Raises its refusal."""
        client, secure = self._client(), self._url.startswith("https")
        try:
            await client.delete_tag(self._repository, tag, enforce_https=secure)
        except HttpResponseError as error:
            if error.status_code in STAYS:
                return False
            headers: Mapping[str, str] = getattr(error.response, "headers", {})
            location = f"{urlsplit(self._url).netloc}/{self._repository}"
            raise refusal(location, error.status_code or 0, foreign(error.message), headers) from error
        return True

    def _client(self) -> "ContainerRegistryClient":
        from azure.containerregistry.aio import ContainerRegistryClient  # noqa: PLC0415  # few builds are undone

        return ContainerRegistryClient(self._url, None, transport=self._transport, retry_total=0)


class _Connections(AioHttpTransport):  # type: ignore[misc]  # untyped without its extra
    """What the client sends goes out as the app's own requests do, so that it never meets a challenge."""

    def __init__(self, session: aiohttp.ClientSession, send: Send) -> None:
        super().__init__(session=session, session_owner=False)
        self._send = send

    async def send(self, request: Any, **_: Any) -> Any:
        answer = await self._send(request.method, request.url)
        response = AioHttpTransportResponse(request, answer)
        await response.load_body()
        return response
