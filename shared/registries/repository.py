"""A repository of a registry: its blobs, manifests, tags and referrers. Source: OCI distribution specification 1.1."""

import asyncio
import hashlib
import io
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import aiohttp

from shared.domain.errors import BuildFailed, Throttled, Unavailable
from shared.registries.authority import Access
from shared.registries.azure_tags import AzureTags
from shared.registries.bodies import bounded, json_object, objects
from shared.registries.links import next_link
from shared.registries.manifests import ACCEPTED, INDEX_TYPE, MOST_BYTES, StoredManifest, digest_of, is_digest
from shared.registries.references import is_azure
from shared.registries.refusals import CORRUPT, REFUSED, STAYS, check, corrupt, refusal, translated
from shared.registries.tag_lists import Listed, tags_of
from shared.registries.uploads import closing, following, once

if TYPE_CHECKING:
    from shared.registries.registry import Registry

_logger = logging.getLogger(__name__)

_BLOB = {"Content-Type": "application/octet-stream"}
_CHUNK = 1024 * 1024
_STORED, _TAKEN = (201, 204), (201, 202, 204)
"""What registries answer to what ends an upload, and to what goes on with it. A page of something else is 200."""
_NO_HEAD = (405, 501)
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_PAGES, _MOST_PAGE_BYTES = 100, 16 * 1024 * 1024


class Repository:
    """One repository. Raises BuildFailed for what it refuses, and Unavailable when it is away."""

    def __init__(self, registry: "Registry", name: str) -> None:
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
        """Whether the blob is there, or was a moment ago. A registry that sends elsewhere for it has it; that place may
        know GET only."""
        if self._registry.has_seen(self.name, digest):
            return True
        for method in ("HEAD", "GET"):
            async with self._asked(method, f"blobs/{digest}", allow_redirects=False) as answer:
                if method == "HEAD" and answer.status in _NO_HEAD:
                    continue
                if answer.status == 404:
                    return False
                await check(self.location, answer, 200, *_REDIRECTS)
                break
        self._registry.saw(self.name, digest)
        return True

    async def mount(self, digest: str, source: str) -> bool:
        """Take the blob over from another repository of the same registry; False when it will not be done, for whatever
        reason: it can be sent nevertheless."""
        query = {"mount": digest, "from": source}
        try:
            async with self._asked("POST", "blobs/uploads/", params=query, source=source) as answer:
                begun = following(self.location, answer) if answer.status == 202 else ""
                mounted, status = answer.status == 201, answer.status
            if begun:
                await self._give_up(begun)
        except (BuildFailed, Unavailable, Throttled) as error:
            _logger.info("%s: %s is not mounted from %s: %s", self.location, digest, source, error.message)
            return False
        if mounted:
            self._registry.saw(self.name, digest)
        else:
            _logger.info("%s: %s is not mounted from %s (%d)", self.location, digest, source, status)
        return mounted

    async def _give_up(self, upload: str) -> None:
        async with self._asked("DELETE", upload):
            """Whatever it answers: an upload that nobody goes on with ends by itself."""

    async def upload(self, digest: str, content: bytes) -> None:
        """Send the blob, which is small, in one piece."""
        place = await self._begin_upload()
        async with self._asked("PUT", closing(place, digest), content=lambda: io.BytesIO(content), headers=_BLOB) as answer:
            await check(self.location, answer, *_STORED)
        self._registry.saw(self.name, digest)

    async def upload_stream(self, chunks: AsyncIterator[bytes], digest: Callable[[], Awaitable[str]]) -> None:
        """Send the blob, in one stream; its digest need not be known before that ends."""
        place = await self._begin_upload()
        async with self._asked("PATCH", place, content=once(chunks), headers=_BLOB) as answer:
            await check(self.location, answer, *_TAKEN)
            place = following(self.location, answer, place)
        known = await digest()
        async with self._asked("PUT", closing(place, known), headers={"Content-Length": "0"}) as answer:
            await check(self.location, answer, *_STORED)
        self._registry.saw(self.name, known)

    async def _begin_upload(self) -> str:
        async with self._asked("POST", "blobs/uploads/") as answer:
            await check(self.location, answer, 202)
            return following(self.location, answer)

    async def download(self, digest: str) -> AsyncGenerator[bytes]:
        """The blob's bytes. Raises Unavailable at their end when they are not those of the digest."""
        came = hashlib.sha256()
        async with self._asked("GET", f"blobs/{digest}") as answer:
            await check(self.location, answer, 200)
            async for chunk in answer.content.iter_chunked(_CHUNK):
                came.update(chunk)
                yield chunk
        if is_digest(digest) and f"sha256:{came.hexdigest()}" != digest:
            raise corrupt(self.location, f"what came is not the blob {digest}.")

    async def read(self, digest: str, most: int) -> bytes:
        """The bytes of a blob that is small; raises BuildFailed when it is larger than that."""
        content = bytearray()
        async for chunk in self.download(digest):
            content += chunk
            if len(content) > most:
                raise refusal(self.location, 413, f"the blob {digest} holds more than {most} bytes.", {})
        return bytes(content)

    async def manifest(self, selected: str) -> StoredManifest | None:
        """The manifest of that tag or digest, None when it is not there. Its digest is of the bytes that came."""
        async with self._asked("GET", f"manifests/{selected}", headers={"Accept": ACCEPTED}) as answer:
            if answer.status == 404:
                return None
            await check(self.location, answer, 200)
            content = await bounded(answer, MOST_BYTES)
            said = answer.headers.get("Docker-Content-Digest", "")
            found = StoredManifest.of(content, answer.headers.get("Content-Type", ""))
        if len(content) > MOST_BYTES:
            raise refusal(self.location, 413, f"the manifest {selected} holds more than {MOST_BYTES} bytes.", {})
        if any(is_digest(digest) and digest != found.digest for digest in (selected, said)):
            raise corrupt(self.location, f"what came for {selected} is {found.digest}.")
        return found

    async def named(self, tag: str) -> str:
        """The digest that the tag names, empty when nothing has it."""
        headers = {"Accept": ACCEPTED}
        async with self._asked("HEAD", f"manifests/{tag}", headers=headers, allow_redirects=False) as answer:
            said = answer.headers.get("Docker-Content-Digest", "")
            if answer.status == 404 or (answer.status == 200 and is_digest(said)):
                return said if answer.status == 200 else ""
            if answer.status in (401, 403, 408, 429, 500, 502, 503, 504):
                await check(self.location, answer)
        found = await self.manifest(tag)
        return found.digest if found else ""

    async def put_manifest(self, content: bytes, tag: str | None = None) -> str:
        """The manifest, under that tag if there is one; its digest."""
        digest = digest_of(content)
        async with self._put(content, json.loads(content)["mediaType"], tag or digest) as answer:
            said = answer.headers.get("Docker-Content-Digest", digest)
        if is_digest(said) and said != digest:
            raise corrupt(self.location, f"it took the manifest {digest} for {said}.")
        return digest

    @asynccontextmanager
    async def _put(self, content: bytes, media_type: str, selected: str) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Content-Type": media_type}
        async with self._asked("PUT", f"manifests/{selected}", content=lambda: content, headers=headers) as answer:
            await check(self.location, answer, 200, *_TAKEN)
            yield answer

    async def delete_tag(self, tag: str) -> bool:
        """Nothing has that tag; False where the registry deletes none. Azure's does it under an address of its own."""
        if not is_azure(self.host):
            return await self._deleted(f"manifests/{tag}")

        async def send(method: str, url: str) -> aiohttp.ClientResponse:
            return await self._registry.send(method, url, Access(self.name, _actions(method, url)))

        with translated(self.location):
            return await AzureTags(self._registry.url, self.name, self._registry.session(), send).delete(tag)

    async def delete_manifest(self, digest: str) -> bool:
        """Nothing has that digest, and all its tags are gone with it; False where the registry deletes none."""
        return await self._deleted(f"manifests/{digest}")

    async def _deleted(self, path: str) -> bool:
        async with self._asked("DELETE", path) as answer:
            if answer.status in STAYS:
                return False
            await check(self.location, answer, 200, *_TAKEN)
            return True

    async def tags(self, most: int) -> Listed:
        """Its tags, from all pages. Complete is only what was read to its end before there were too many."""
        tags: list[str] = []
        try:
            async for page in self._pages("tags/list"):
                found = tags_of(page)
                tags += found or ()
                if found is None or len(tags) > most:
                    return Listed(tags, complete=False)
        except Unavailable as error:
            if error.code != CORRUPT:
                raise
            return Listed(tags, complete=False)
        return Listed(tags, complete=True)

    async def referrers(self, subject: str) -> Sequence[Mapping[str, Any]]:
        """How the artifacts that are about that digest are listed."""
        try:
            listed = [one async for page in self._pages(f"referrers/{subject}") for one in objects(page.get("manifests"))]
        except (BuildFailed, Unavailable) as error:
            if error.code not in (REFUSED, CORRUPT):
                raise
            listed = []  # it knows no such address
        return listed or await self._tagged_referrers(subject)

    async def _tagged_referrers(self, subject: str) -> list[Mapping[str, Any]]:
        found = await self.manifest(referrers_tag(subject))
        return objects(found.content.get("manifests")) if found else []

    async def attach(self, manifests: Mapping[bytes, Mapping[str, Any]], subject: str) -> None:
        """The manifests of artifacts that are about `subject`, each with how it is listed; found by the registry's
        referrers, or, where it keeps none, by the tag that takes their place (OCI distribution 1.1)."""
        told = await asyncio.gather(*(self._put_artifact(manifest, listed) for manifest, listed in manifests.items()))
        new = [listed for listed, is_referrer in zip(manifests.values(), told, strict=True) if not is_referrer]
        if new:
            before = await self._tagged_referrers(subject)
            listed = [*before, *(one for one in new if one not in before)]
            index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": listed}
            await self.put_manifest(json.dumps(index).encode(), referrers_tag(subject))

    async def _put_artifact(self, manifest: bytes, listed: Mapping[str, Any]) -> bool:
        """Whether the registry itself keeps what it is about."""
        async with self._put(manifest, listed["mediaType"], listed["digest"]) as answer:
            return "OCI-Subject" in answer.headers

    async def _pages(self, path: str) -> AsyncIterator[Mapping[str, Any]]:
        """The pages of a list, one after the other; nothing when it is not there. Raises when its end cannot be found."""
        for read in range(_MOST_PAGES):
            async with self._asked("GET", path) as answer:
                if answer.status == 404 and not read:
                    return
                await check(self.location, answer, 200)
                page = json_object(await bounded(answer, _MOST_PAGE_BYTES))
                path = self._following(answer)
            if not page:
                raise corrupt(self.location, "a list of it is no JSON object.")
            yield page
            if not path:
                return
        raise corrupt(self.location, f"a list of it has more than {_MOST_PAGES} pages.")

    def _following(self, answer: aiohttp.ClientResponse) -> str:
        """Where the next page is, empty after the last one."""
        link = next_link(answer.headers.getall("Link", ()))
        if link == "":
            return ""
        path = urljoin(str(answer.url), link) if link else ""
        if not path or path == str(answer.url) or not self._registry.is_here(path):
            raise corrupt(self.location, "a list of it goes on where it cannot be read.")
        return path

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, *, source: str = "", **given: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer about something of this repository. What is away is Unavailable."""
        url = urljoin(f"{self._registry.url}/v2/{self.name}/", path)
        access = Access(self.name, _actions(method, url), source)
        with translated(self.location):
            async with await self._registry.send(method, url, access, **given) as answer:
                yield answer


def referrers_tag(subject: str) -> str:
    """The tag that lists the referrers of a digest where the registry keeps none."""
    return subject.replace(":", "-")


def _actions(method: str, url: str) -> str:
    """What a request does to its repository, as token services name it."""
    if method in ("GET", "HEAD"):
        return "pull"
    return "delete" if method == "DELETE" and "/uploads/" not in url else "pull,push"
