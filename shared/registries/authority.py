"""What a registry wants to see before it serves: nothing, a password, or a token that its token service gives.

Sources: the distribution project's token authentication; Azure Container Registry's `/oauth2/exchange` and `/oauth2/token`.
"""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from shared.domain.errors import BuildFailed, Unavailable
from shared.registries.logins import Login
from shared.registries.references import is_loopback

_AUDIENCE = "https://containerregistry.azure.net/.default"
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_USED_BEFORE_ITS_END = 30.0


class Identity(Protocol):
    """The app's own identity: azure-identity's credentials."""

    async def get_token(self, *scopes: str) -> Any:
        """An access token for those scopes."""


class Authority:
    """Gets what one registry wants for a request, and keeps it for as long as it is good."""

    def __init__(self, host: str, login: Login | None = None, identity: Identity | None = None) -> None:
        self._host = host
        self._login = login
        self._identity = identity
        self._kept: dict[str, tuple[str, float]] = {}

    def header(self, kind: str) -> Mapping[str, str]:
        """What was good for requests of that kind before."""
        kept = self._kept.get(kind)
        return {"Authorization": kept[0]} if kept and kept[1] > time.monotonic() else {}

    async def answer(self, session: aiohttp.ClientSession, kind: str, challenge: str, more: Sequence[str] = ()) -> None:
        """Get what the challenge asks for, for requests of that kind; `more` are scopes besides the challenge's own.

        Raises BuildFailed when it cannot be had, Unavailable when the token service is away.
        """
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._login:
            self._kept[kind] = (self._login.basic, float("inf"))
            return
        asked = dict(_PARAMETER.findall(rest))
        if scheme.lower() != "bearer" or not self._trusted(asked.get("realm", "")):
            raise self._denied("it asks for a sign-in that Slipway does not know")
        scopes = list(dict.fromkeys((*asked.get("scope", "").split(), *more)))
        try:
            answer = await self._token(session, asked, scopes)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"The token service of {self._host} is away: {type(error).__name__}.") from error
        token = answer.get("access_token") or answer.get("token")
        if not token:
            raise self._denied("its token service gives no token")
        self._kept[kind] = (f"Bearer {token}", time.monotonic() + float(answer.get("expires_in", 60)) - _USED_BEFORE_ITS_END)

    async def _token(
        self, session: aiohttp.ClientSession, asked: Mapping[str, str], scopes: Sequence[str]
    ) -> Mapping[str, Any]:
        service = asked.get("service", "")
        if self._identity and not self._login:
            exchange = asked["realm"].removesuffix("/token") + "/exchange"
            identity = (await self._identity.get_token(_AUDIENCE)).token
            form = {"grant_type": "access_token", "service": service, "access_token": identity}
            refresh = (await self._posted(session, exchange, form))["refresh_token"]
            form = {"grant_type": "refresh_token", "service": service, "refresh_token": refresh, "scope": " ".join(scopes)}
            return await self._posted(session, asked["realm"], form)
        query = [("service", service), *(("scope", scope) for scope in scopes)]
        headers = {"Authorization": self._login.basic} if self._login else {}
        async with session.get(asked["realm"], params=query, headers=headers) as answer:
            return await self._answered(answer)

    async def _posted(self, session: aiohttp.ClientSession, url: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        async with session.post(url, data=form) as answer:
            return await self._answered(answer)

    async def _answered(self, answer: aiohttp.ClientResponse) -> Mapping[str, Any]:
        if answer.status in (429, 500, 502, 503, 504):
            raise Unavailable(f"The token service of {self._host} answered {answer.status}.")
        if answer.status != 200:
            raise self._denied(f"its token service answered {answer.status}")
        given: Mapping[str, Any] = await answer.json(content_type=None)
        return given

    def _trusted(self, realm: str) -> bool:
        """A password or an identity goes by HTTPS only, or stays on this machine."""
        url = urlsplit(realm)
        return url.scheme == "https" or (url.scheme == "http" and is_loopback(url.netloc) and is_loopback(self._host))

    def _denied(self, why: str) -> BuildFailed:
        return BuildFailed(f"The registry {self._host} cannot be signed in to: {why}.", code="RegistryDenied")
