"""A registry: manifests and tags by `azure-containerregistry`, and what that client lacks by the distribution protocol.

It lacks: whether a blob is there, mounting one from another repository, sending a large one as a stream, plain HTTP on this
machine, and other token services than Azure's. One transport signs the requests of both. Source: OCI distribution 1.1.
"""

import asyncio
import io
import json
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.transport import AioHttpTransport
from yarl import URL

from shared.domain.errors import BuildFailed, ServiceError, Throttled, Unavailable, foreign
from shared.registries.authority import Authority
from shared.registries.references import base_url

if TYPE_CHECKING:
    from azure.containerregistry.aio import ContainerRegistryClient

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_BLOB = {"Content-Type": "application/octet-stream"}
_CHUNK = 1024 * 1024
_SEEN_SECONDS = 60.0
_MOST_SEEN = 10_000
_NOT_MOUNTED = (400, 401, 403, 404, 405)
"""Where the other repository may not be read, or mounting is not known: a blob may be sent nevertheless."""
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=120)
_OF_A_REPOSITORY = re.compile(r"/(?:v2|acr/v1)/(.+)/(?:manifests|blobs|tags|referrers|_tags|_manifests)/")

type Content = Callable[[], bytes | AsyncIterator[bytes]]
"""Begins to give a body's bytes, anew at each call."""


@dataclass(frozen=True)
class StoredManifest:
    """A manifest, or an index of several, as a registry has it."""

    digest: str
    media_type: str
    content: Mapping[str, Any]


class Registry:
    """One registry. Connections are opened when they are first needed, in the loop that needs them."""

    def __init__(self, host: str, authority: Authority) -> None:
        self.host = host
        self.url = base_url(host)
        self._authority = authority
        self._session: aiohttp.ClientSession | None = None
        self._client: ContainerRegistryClient | None = None
        self._seen: dict[tuple[str, str], float] = {}

    def saw(self, repository: str, digest: str) -> None:
        """That blob is in that repository."""
        self._seen[repository, digest] = time.monotonic() + _SEEN_SECONDS

    def has_seen(self, repository: str, digest: str) -> bool:
        """Whether it was there a moment ago: no registry removes it that soon."""
        now = time.monotonic()
        if len(self._seen) > _MOST_SEEN:
            self._seen = {blob: until for blob, until in self._seen.items() if until > now}
        return self._seen.get((repository, digest), 0.0) > now

    def repository(self, name: str) -> "Repository":
        """A repository of it, which need not be there yet."""
        return Repository(self, name)

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.close()
        if self._session is not None:
            await self._session.close()
        self._client = self._session = None

    def session(self) -> aiohttp.ClientSession:
        """The connections to it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False, trust_env=True)
        return self._session

    def client(self) -> "ContainerRegistryClient":
        """The published client, over the same connections."""
        if self._client is None:
            from azure.containerregistry.aio import ContainerRegistryClient  # noqa: PLC0415  # a cold start builds nothing

            self._client = ContainerRegistryClient(self.url, None, transport=_Signing(self), retry_total=0)
        return self._client

    async def send(
        self, method: str, url: str, kind: str, *, more: Sequence[str] = (), content: Content | None = None, **given: Any
    ) -> aiohttp.ClientResponse:
        """The answer to a request, signed as the registry wants it; to be used as a context."""
        session = self.session()
        for last in (False, True):
            headers = {**given.get("headers", {}), **(self._authority.header(kind) if self._is_here(url) else {})}
            body = {"data": content()} if content else {}
            answer = await session.request(method, url, **{**given, **body, "headers": headers})
            if last or not await self._challenged(answer, kind, more):
                return answer
        raise AssertionError

    async def _challenged(self, answer: aiohttp.ClientResponse, kind: str, more: Sequence[str]) -> bool:
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status != 401 or not challenge or not self._is_here(answer.url):
            return False
        answer.release()
        await self._authority.answer(self.session(), kind, challenge, more)
        return True

    def _is_here(self, url: str | URL) -> bool:
        """Whether it is this registry that answers there: uploads may be sent elsewhere, and no secret goes with them."""
        return URL(url).origin() == URL(self.url).origin()

    async def signature(self, kind: str) -> Mapping[str, str]:
        """What was good for requests of that kind before."""
        return self._authority.header(kind)

    async def challenged(self, kind: str, challenge: str) -> None:
        """Get what the challenge asks for."""
        await self._authority.answer(self.session(), kind, challenge)


class _Signing(AioHttpTransport):  # type: ignore[misc]  # untyped without its extra
    """Signs what the published client sends, so that the client itself never meets a challenge."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(session=registry.session(), session_owner=False)
        self._registry = registry

    async def send(self, request: Any, **options: Any) -> Any:
        kind = _kind(request.method, request.url)
        request.headers.update(await self._registry.signature(kind))
        answer = await super().send(request, **options)
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status_code != 401 or not challenge:
            return answer
        await self._registry.challenged(kind, challenge)
        request.headers.update(await self._registry.signature(kind))
        if hasattr(request.body, "seek"):
            request.body.seek(0)
        return await super().send(request, **options)


class Repository:
    """One repository. Raises BuildFailed for what it refuses, and Unavailable when it is away."""

    def __init__(self, registry: Registry, name: str) -> None:
        self._registry = registry
        self.name = name

    @property
    def host(self) -> str:
        """The host of its registry."""
        return self._registry.host

    @property
    def location(self) -> str:
        """How others name it."""
        return f"{self._registry.host}/{self.name}"

    async def has_blob(self, digest: str) -> bool:
        """Whether the blob is there, or was a moment ago."""
        if self._registry.has_seen(self.name, digest):
            return True
        async with self._asked("HEAD", f"blobs/{digest}") as answer:
            if answer.status == 404:
                return False
            await self._check(answer, 200)
        self._registry.saw(self.name, digest)
        return True

    async def mount(self, digest: str, source: str) -> bool:
        """Take the blob over from another repository of the same registry; False when it will not be done."""
        query = {"mount": digest, "from": source}
        more = (f"repository:{source}:pull",)
        async with self._asked("POST", "blobs/uploads/", params=query, more=more, kind=f"mount:{source}") as answer:
            if answer.status in _NOT_MOUNTED:
                return False
            await self._check(answer, 201, 202)
            begun = answer.headers.get("Location", "") if answer.status == 202 else ""
        if begun:
            async with self._asked("DELETE", begun):
                return False
        self._registry.saw(self.name, digest)
        return True

    async def upload(self, digest: str, content: bytes) -> None:
        """Send the blob, which is small, in one piece."""
        place = await self._begin_upload()
        async with self._asked("PUT", _closing(place, digest), content=lambda: io.BytesIO(content), headers=_BLOB) as answer:
            await self._check(answer, 201)
        self._registry.saw(self.name, digest)

    async def upload_stream(self, chunks: AsyncIterator[bytes], digest: Callable[[], Awaitable[str]]) -> None:
        """Send the blob, in one stream; its digest need not be known before that ends."""
        place = await self._begin_upload()
        async with self._asked("PATCH", place, content=_once(chunks), headers=_BLOB) as answer:
            await self._check(answer, 202)
            place = answer.headers.get("Location", place)
        known = await digest()
        async with self._asked("PUT", _closing(place, known), headers={"Content-Length": "0"}) as answer:
            await self._check(answer, 201)
        self._registry.saw(self.name, known)

    async def _begin_upload(self) -> str:
        async with self._asked("POST", "blobs/uploads/") as answer:
            await self._check(answer, 202)
            return answer.headers["Location"]

    async def download(self, digest: str) -> AsyncGenerator[bytes]:
        """The blob's bytes."""
        async with self._asked("GET", f"blobs/{digest}") as answer:
            await self._check(answer, 200)
            async for chunk in answer.content.iter_chunked(_CHUNK):
                yield chunk

    async def manifest(self, selected: str) -> StoredManifest | None:
        """The manifest of that tag or digest, None when it is not there."""
        with _translated(self.location):
            try:
                found = await self._client.get_manifest(self.name, selected, **self._options)
            except ResourceNotFoundError:
                return None
            return StoredManifest(str(found.digest), str(found.media_type), found.manifest or {})

    async def put_manifest(self, content: bytes, tag: str | None = None) -> str:
        """The manifest, under that tag if there is one; its digest."""
        media_type = json.loads(content)["mediaType"]
        with _translated(self.location):
            return await self._client.set_manifest(
                self.name, io.BytesIO(content), tag=tag, media_type=media_type, **self._options
            )

    async def referrers(self, subject: str) -> Sequence[Mapping[str, Any]]:
        """How the artifacts that are about that digest are listed."""
        async with self._asked("GET", f"referrers/{subject}") as answer:
            if answer.status == 200:
                listed: list[dict[str, Any]] = (await answer.json(content_type=None))["manifests"]
                return listed
            if answer.status != 404:
                await self._check(answer, 200)
        return await self._tagged_referrers(subject)

    async def _tagged_referrers(self, subject: str) -> list[Mapping[str, Any]]:
        found = await self.manifest(_referrers_tag(subject))
        return list(found.content["manifests"]) if found else []

    async def attach(self, manifests: Mapping[bytes, Mapping[str, Any]], subject: str) -> None:
        """The manifests of artifacts that are about `subject`, each with how it is listed; found by the registry's
        referrers, or, where it keeps none, by the tag that takes their place (OCI distribution 1.1)."""
        told = await asyncio.gather(*(self._put_artifact(manifest, listed) for manifest, listed in manifests.items()))
        new = [listed for listed, is_referrer in zip(manifests.values(), told, strict=True) if not is_referrer]
        if new:
            before = await self._tagged_referrers(subject)
            listed = [*before, *(one for one in new if one not in before)]
            index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": listed}
            await self.put_manifest(json.dumps(index).encode(), _referrers_tag(subject))

    async def _put_artifact(self, manifest: bytes, listed: Mapping[str, Any]) -> bool:
        """Whether the registry itself keeps what it is about."""
        headers, path = {"Content-Type": listed["mediaType"]}, f"manifests/{listed['digest']}"
        async with self._asked("PUT", path, content=lambda: manifest, headers=headers) as answer:
            await self._check(answer, 201)
            return "OCI-Subject" in answer.headers

    async def detach(self, subject: str) -> None:
        """Nothing is attached to that digest by a tag, unless an image of it is tagged."""
        if not await self._tags_of(subject):
            await self.untag(_referrers_tag(subject))

    async def untag(self, tag: str) -> None:
        """Nothing has that tag; harmless when nothing had. Where tags cannot be deleted, their manifest is."""
        async with self._asked("DELETE", f"manifests/{tag}") as answer:
            if answer.status in (202, 404):
                return
        found = await self.manifest(tag)
        if found is None:
            return
        with _translated(self.location):
            if await self._tags_of(found.digest) == [tag]:
                await self._client.delete_manifest(self.name, found.digest, **self._options)

    async def _tags_of(self, digest: str) -> list[str]:
        async with self._asked("GET", "tags/list") as answer:
            if answer.status == 404:
                return []
            await self._check(answer, 200)
            tags: list[str] = (await answer.json(content_type=None)).get("tags") or []
        found = await asyncio.gather(*(self.manifest(tag) for tag in tags))
        return [tag for tag, one in zip(tags, found, strict=True) if one is not None and one.digest == digest]

    @property
    def _client(self) -> "ContainerRegistryClient":
        return self._registry.client()

    @property
    def _options(self) -> dict[str, Any]:
        """The client must be told with every call that plain HTTP is meant."""
        return {"enforce_https": self._registry.url.startswith("https")}

    @asynccontextmanager
    async def _asked(self, method: str, path: str, *, kind: str = "", **given: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer about something of this repository. What is away is Unavailable."""
        url = urljoin(f"{self._registry.url}/v2/{self.name}/", path)
        with _translated(self.location):
            answer = await self._registry.send(method, url, kind or _kind(method, url), **given)
            async with answer:
                yield answer

    async def _check(self, answer: aiohttp.ClientResponse, *accepted: int) -> None:
        if answer.status not in accepted:
            said = foreign((await answer.text())[:500])
            raise _refusal(self.location, answer.status, said, answer.headers.get("Retry-After", ""))


def _closing(place: str, digest: str) -> str:
    return f"{place}{'&' if urlsplit(place).query else '?'}digest={digest}"


def _referrers_tag(subject: str) -> str:
    return subject.replace(":", "-")


def _once(chunks: AsyncIterator[bytes]) -> Content:
    """The chunks, which there are once: a request that is to be sent again has failed."""
    given: list[AsyncIterator[bytes]] = [chunks]

    def give() -> AsyncIterator[bytes]:
        if not given:
            raise Unavailable("The registry asked for another sign-in in the middle of a blob.", code="RegistryAway")
        return given.pop()

    return give


def _kind(method: str, url: str) -> str:
    """Requests that the same token is good for."""
    named = _OF_A_REPOSITORY.search(urlsplit(url).path)
    act = "pull" if method in ("GET", "HEAD") else "delete" if method == "DELETE" and "/uploads/" not in url else "push"
    return f"{act}:{named[1] if named else ''}"


@contextmanager
def _translated(location: str) -> Iterator[None]:
    """Errors of the connection and of the published client as ours."""
    try:
        yield
    except ServiceError:
        raise
    except HttpResponseError as error:
        if error.response is None:  # nobody answered: it is the app's identity that gives no token, which may heal
            message = f"{location}: the app cannot sign in: {foreign(error.message)}"
            raise BuildFailed(message, code="RegistryDenied", retryable=True) from error
        status = error.status_code or 0
        headers: Mapping[str, str] = getattr(error.response, "headers", {})
        raise _refusal(location, status, foreign(error.message), headers.get("Retry-After", "")) from error
    except ValueError as error:  # the published client's, for what is not what its digest says
        raise Unavailable(f"{location}: {foreign(error)}", code="RegistryCorrupt") from error
    except (AzureError, aiohttp.ClientError, TimeoutError, OSError) as error:
        if isinstance(error.__cause__, ServiceError):  # of what gives the bytes that are sent, which has failed
            raise error.__cause__ from None
        raise Unavailable(f"The registry of {location} is away: {type(error).__name__}.", code="RegistryAway") from error


def _refusal(location: str, status: int, said: str, retry_after: str) -> ServiceError:
    pause = float(retry_after) if retry_after.isdecimal() else None
    if status == 429:
        return Throttled(f"{location}: the registry asks for patience.", retry_after=pause)
    if not 400 <= status < 500 or status == 408:
        return Unavailable(f"{location}: the registry answered {status}: {said}", code="RegistryAway")
    if status in (401, 403):
        return BuildFailed(f"{location}: the registry does not permit it ({status}).", code="RegistryDenied")
    return BuildFailed(f"{location}: the registry refuses it ({status}): {said}", code="RegistryRefused")
