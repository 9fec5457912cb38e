"""Signs in to one registry, as it wants it: not at all, by a password, or by a token that its token service gives.

Sources: the distribution project's token authentication; Docker's OAuth2 token authentication, for identity tokens; Azure
Container Registry's `/oauth2/exchange` and `/oauth2/token`.
"""

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
from azure.core.exceptions import AzureError

from shared.domain.errors import BuildFailed, Throttled, Unavailable, foreign
from shared.domain.retry_after import retry_after
from shared.registries.bodies import bounded, json_object
from shared.registries.challenges import Challenge
from shared.registries.logins import Login
from shared.registries.references import is_loopback
from shared.registries.refusals import DENIED

_AUDIENCE = "https://containerregistry.azure.net/.default"
_USED_BEFORE_ITS_END = 30.0
_LASTS_AT_LEAST, _LASTS_AT_MOST = 60.0, 3600.0
"""Seconds. No token service may give less than the first, and one that says so is not believed: a token that has ended
brings a challenge, and that another token."""
_MOST_BYTES = 1024 * 1024
_TOKEN = re.compile(r"[!-~]+")
_AWAY = (429, 500, 502, 503, 504)


class Identity(Protocol):
    """The app's own identity: azure-identity's credentials."""

    async def get_token(self, *scopes: str) -> Any:
        """An access token for those scopes."""


@dataclass(frozen=True)
class Access:
    """What requests do to a repository, `pull`, `pull,push` or `delete`, and from which other one they take a blob."""

    repository: str
    actions: str
    source: str = ""

    def scopes(self, asked: str | None) -> Sequence[str]:
        """What a token is asked for: as the registry said, where it did, and what it cannot know."""
        own = (asked or "").split() or [f"repository:{self.repository}:{self.actions}"]
        return list(dict.fromkeys([*own, *([f"repository:{self.source}:pull"] if self.source else [])]))


class Authority:
    """Gets what one registry wants for a request, and keeps it for as long as it is good."""

    def __init__(self, host: str, login: Login | None = None, identity: Identity | None = None) -> None:
        self._host = host
        self._login = login
        self._identity = identity
        self._kept: dict[Access, tuple[str, float]] = {}

    def header(self, access: Access) -> Mapping[str, str]:
        """What was good for such requests before."""
        kept = self._kept.get(access)
        return {"Authorization": kept[0]} if kept and kept[1] > time.monotonic() else {}

    async def answer(
        self, session: aiohttp.ClientSession, access: Access, challenges: Sequence[Challenge]
    ) -> Mapping[str, str]:
        """The header that one of the challenges asks for: a token, where there is a choice.

        Raises BuildFailed when it cannot be had, Unavailable when the token service is away.
        """
        basic = self._login is not None and any(challenge.scheme == "basic" for challenge in challenges)
        bearer = [one for one in challenges if one.scheme == "bearer" and self._trusted(one.parameters.get("realm", ""))]
        try:
            if bearer:
                return await self._signed(session, access, bearer[0].parameters)
        except BuildFailed:
            if not basic:
                raise
        if not basic or self._login is None:
            raise self._denied("it asks for a sign-in that Slipway does not know, or has no login for")
        self._kept[access] = (self._login.basic, math.inf)
        return {"Authorization": self._login.basic}

    async def _signed(self, session: aiohttp.ClientSession, access: Access, asked: Mapping[str, str]) -> Mapping[str, str]:
        try:
            answer = await self._token(session, asked, access.scopes(asked.get("scope")))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"The token service of {self._host} is away: {type(error).__name__}.") from error
        token = answer.get("access_token") or answer.get("token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise self._denied("its token service gives no token")
        ends = time.monotonic() + _lasts(answer.get("expires_in")) - _USED_BEFORE_ITS_END
        self._kept[access] = (f"Bearer {token}", ends)
        return {"Authorization": f"Bearer {token}"}

    async def _token(
        self, session: aiohttp.ClientSession, asked: Mapping[str, str], scopes: Sequence[str]
    ) -> Mapping[str, Any]:
        service, login = asked.get("service", ""), self._login
        refresh = login.identity_token if login else ""
        if self._identity and not login:
            refresh = await self._exchanged(session, self._identity, asked["realm"], service)
        if refresh:
            form = {"grant_type": "refresh_token", "service": service, "refresh_token": refresh, "scope": " ".join(scopes)}
            return await self._posted(session, asked["realm"], {**form, "client_id": "slipway"})
        query = [*([("service", service)] if service else []), *(("scope", scope) for scope in scopes)]
        headers = {"Authorization": login.basic} if login else {}
        async with session.get(asked["realm"], params=query, headers=headers) as answer:
            return await self._answered(answer)

    async def _exchanged(self, session: aiohttp.ClientSession, identity: Identity, realm: str, service: str) -> str:
        """Azure's refresh token for the app's own identity."""
        try:
            token = (await identity.get_token(_AUDIENCE)).token
        except AzureError as error:  # which may heal
            message = f"{self._host}: the app cannot sign in: {foreign(error.message)}"
            raise BuildFailed(message, code=DENIED, retryable=True) from error
        form = {"grant_type": "access_token", "service": service, "access_token": token}
        answer = await self._posted(session, f"{realm.removesuffix('/token')}/exchange", form)
        refresh = answer.get("refresh_token")
        if not isinstance(refresh, str) or not refresh:
            raise self._denied("its token service gives nothing for the app's identity")
        return refresh

    async def _posted(self, session: aiohttp.ClientSession, url: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        """A form holds a secret, and so follows no redirect."""
        async with session.post(url, data=form, allow_redirects=False) as answer:
            return await self._answered(answer)

    async def _answered(self, answer: aiohttp.ClientResponse) -> Mapping[str, Any]:
        if answer.status in _AWAY:
            error = Throttled if answer.status == 429 else Unavailable
            message = f"The token service of {self._host} answered {answer.status}."
            raise error(message, retry_after=retry_after(answer.headers))
        if answer.status != 200:
            raise self._denied(f"its token service answered {answer.status}")
        given = json_object(await bounded(answer, _MOST_BYTES))
        if not given:
            raise Unavailable(f"The token service of {self._host} answered with no JSON object.")
        return given

    def _trusted(self, realm: str) -> bool:
        """A password or an identity goes by HTTPS only, or stays on this machine."""
        try:
            url = urlsplit(realm)
        except ValueError:
            return False
        return url.scheme == "https" or (url.scheme == "http" and is_loopback(url.netloc) and is_loopback(self._host))

    def _denied(self, why: str) -> BuildFailed:
        return BuildFailed(f"The registry {self._host} cannot be signed in to: {why}.", code=DENIED)


def _lasts(expires_in: object) -> float:
    """How long a token is good, whatever its service says of it."""
    try:
        seconds = float(expires_in) if isinstance(expires_in, int | float | str) else 0.0
    except (ValueError, OverflowError):
        return _LASTS_AT_LEAST
    return min(max(seconds, _LASTS_AT_LEAST), _LASTS_AT_MOST) if math.isfinite(seconds) else _LASTS_AT_LEAST
