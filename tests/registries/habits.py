"""A small registry of the tests' own, with the habits of others that Debian's has not: each is a switch.

Without any it does as Debian's does, and passes the same tests (test_registry.py). What it holds can be looked at.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from aiohttp import web

UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/([\w-]*)")
BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:\w+)")
MANIFEST = re.compile(r"/v2/(.+)/manifests/([\w.:-]+)")
REFERRERS = re.compile(r"/v2/(.+)/referrers/.+")
OF_AZURE = re.compile(r"/acr/v1/(.+)/_tags/([\w.-]+)")
TAGS = re.compile(r"/v2/(.+)/tags/list")
SIGNED = re.compile(r"/signed/(sha256:\w+)")

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The host of a server that answers so."""
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield "{}:{}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


@dataclass
class Habits:
    """What a registry does otherwise than Debian's."""

    page: int = 0
    """How many tags are on a page; 0 for all."""
    link: str = '</v2/{name}/tags/list?after={after}>; rel="next"'
    tag_delete: int = 400
    """What it answers when a tag is to be deleted: 202 for doing so. Debian's says 400."""
    manifest_delete: int = 202
    of_azure: bool = False
    """Whether tags are deleted under Azure's own address."""
    content_type: Callable[[str], str] = str
    """What it calls a manifest of that type."""
    digest_header: bool = True
    chunked: bool = False
    """Whether manifests come without a length."""
    damaged: bool = False
    """Whether blobs come with another last byte."""
    blobs_elsewhere: bool = False
    """Whether blobs are had from a signed address, that answers GET alone."""
    upload_at: str = ""
    """The host that uploads are sent on to."""
    locations: str = "/v2/{name}/blobs/uploads/{upload}"
    mount: int = 201
    challenges: tuple[str, ...] = ()
    """What it asks for before it serves; `{host}` is its own."""
    token: dict[str, Any] = field(default_factory=dict)
    """What its token service says beside the token."""
    refused_scopes: tuple[str, ...] = ()
    """Scopes, or parts of them, that its token service answers 403 for."""
    trouble: Callable[[web.Request], Awaitable[str]] | None = None
    """What goes wrong with a request: a status, `as` and a status for what is carried out and answered so,
    `lost` for an answer that does not arrive, or nothing."""


class HabitualRegistry:
    """The registry, and its token service under `/token`."""

    def __init__(self, habits: Habits | None = None) -> None:
        self.habits = habits or Habits()
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[bytes, str]]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.uploads: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.scopes: list[list[str]] = []
        self.tokens: set[str] = set()
        self.signed_in: list[str | None] = []
        self.list_of_tags: object = ...
        self.referrers = (404, "")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        trouble = await self.habits.trouble(request) if self.habits.trouble else ""
        if trouble.isdecimal():
            await request.read()
            return web.Response(status=int(trouble))
        answered = await self._answer(request)
        if trouble.startswith("as "):
            answered.set_status(int(trouble.removeprefix("as ")))
        if trouble == "lost" and request.transport is not None:
            request.transport.abort()
        return answered

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return self._token(request)
        if signed := SIGNED.fullmatch(request.path):
            self.signed_in.append(request.headers.get("Authorization"))
            return self._from_elsewhere(request, signed[1])
        self.asked.append(f"{request.method} {request.path}")
        if self.habits.challenges and not self._is_signed_in(request):
            await request.read()
            return self._challenged(request)
        for pattern, handle in (
            (UPLOAD, self._upload),
            (BLOB, self._blob),
            (MANIFEST, self._manifest),
            (TAGS, self._tags),
            (REFERRERS, self._referrers),
            (OF_AZURE, self._untagged),
        ):
            if found := pattern.fullmatch(request.path):
                return await handle(request, *found.groups())
        await request.read()
        return web.Response(status=404)

    def _challenged(self, request: web.Request) -> web.Response:
        response = web.Response(status=401)
        for challenge in self.habits.challenges:
            response.headers.add("WWW-Authenticate", challenge.replace("{host}", request.host))
        return response

    async def _referrers(self, request: web.Request, name: str) -> web.Response:
        status, text = self.referrers
        return web.Response(status=status, text=text)

    async def _untagged(self, request: web.Request, name: str, tag: str) -> web.Response:
        """As Azure's registry deletes a tag."""
        known = self.habits.of_azure and request.method == "DELETE" and self.tags[name].pop(tag, None)
        return web.Response(status=202 if known else 404)

    def _token(self, request: web.Request) -> web.Response:
        scopes = request.query.getall("scope", [])
        self.scopes.append(scopes)
        if any(part in scope for part in self.habits.refused_scopes for scope in scopes):
            return web.Response(status=403)
        self.tokens.add(token := uuid4().hex if scopes else "of-no-use")
        self.tokens.discard("of-no-use")
        return web.json_response({"token": token, **self.habits.token})

    def _is_signed_in(self, request: web.Request) -> bool:
        return request.headers.get("Authorization", "").removeprefix("Bearer ") in self.tokens

    async def _upload(self, request: web.Request, name: str, upload: str) -> web.Response:
        content, digest = await request.read(), request.query.get("digest", "")
        if request.method == "POST":
            return self._begun(request, name)
        if request.method == "DELETE":
            return web.Response(status=204 if self.uploads.pop(upload, None) is not None else 404)
        if upload not in self.uploads:
            return web.Response(status=404)
        self.uploads[upload] += content
        if request.method == "PATCH":
            return web.Response(status=202, headers={"Location": self._location(name, upload)})
        content = self.uploads.pop(upload)
        if digest_of(content) != digest:
            return web.json_response({"errors": [{"code": "DIGEST_INVALID"}]}, status=400)
        self.blobs.setdefault(name, {})[digest] = content
        return web.Response(status=201)

    def _begun(self, request: web.Request, name: str) -> web.Response:
        if self.habits.upload_at:
            return web.Response(status=307, headers={"Location": f"http://{self.habits.upload_at}{request.path_qs}"})
        mount, source = request.query.get("mount"), request.query.get("from", "")
        if mount and self.habits.mount not in (201, 202):
            return web.Response(status=self.habits.mount)
        if mount and self.habits.mount == 201 and mount in self.blobs.get(source, {}):
            self.blobs.setdefault(name, {})[mount] = self.blobs[source][mount]
            return web.Response(status=201)
        self.uploads[upload := uuid4().hex] = b""
        return web.Response(status=202, headers={"Location": self._location(name, upload)})

    def _location(self, name: str, upload: str) -> str:
        return self.habits.locations.format(name=name, upload=upload)

    async def _blob(self, request: web.Request, name: str, digest: str) -> web.StreamResponse:
        if digest not in self.blobs.get(name, {}):
            return web.Response(status=404)
        if self.habits.blobs_elsewhere:
            return web.Response(status=307, headers={"Location": f"/signed/{digest}?name={name}&signature=x"})
        return web.Response(body=self._sent(self.blobs[name][digest]))

    def _from_elsewhere(self, request: web.Request, digest: str) -> web.Response:
        content = self.blobs[request.query["name"]][digest]
        return web.Response(body=self._sent(content)) if request.method == "GET" else web.Response(status=403)

    def _sent(self, content: bytes) -> bytes:
        return content[:-1] + bytes([content[-1] ^ 1]) if self.habits.damaged else content

    async def _manifest(self, request: web.Request, name: str, selected: str) -> web.StreamResponse:
        match request.method:
            case "PUT":
                return self._taken(name, selected, await request.read(), request.content_type)
            case "DELETE":
                return self._deleted(name, selected)
        digest = self.tags.get(name, {}).get(selected, selected)
        if digest not in self.manifests.get(name, {}):
            return web.Response(status=404)
        content, media_type = self.manifests[name][digest]
        headers = {"Content-Type": self.habits.content_type(media_type)}
        headers |= {"Docker-Content-Digest": digest} if self.habits.digest_header else {}
        if not self.habits.chunked or request.method == "HEAD":
            return web.Response(body=content, headers=headers)
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(content)
        return response

    def _taken(self, name: str, selected: str, content: bytes, media_type: str) -> web.Response:
        found, digest = json.loads(content), digest_of(content)
        named = [found[key]["digest"] for key in ("config",) if key in found]
        named += [layer["digest"] for layer in found.get("layers", ())]
        if not set(named) <= self.blobs.get(name, {}).keys():
            return web.json_response({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}, status=400)
        self.manifests.setdefault(name, {})[digest] = (content, media_type)
        if not selected.startswith("sha256:"):
            self.tags.setdefault(name, {})[selected] = digest
        headers = {"Docker-Content-Digest": digest} if self.habits.digest_header else {}
        return web.Response(status=201, headers=headers)

    def _deleted(self, name: str, selected: str) -> web.Response:
        """By digest, all its tags go along."""
        tags, manifests = self.tags.setdefault(name, {}), self.manifests.setdefault(name, {})
        by_tag = not selected.startswith("sha256:")
        status = self.habits.tag_delete if by_tag else self.habits.manifest_delete
        if status == 202 and selected not in (tags if by_tag else manifests):
            return web.Response(status=404)
        if status == 202 and by_tag:
            del tags[selected]
        if status == 202 and not by_tag:
            del manifests[selected]
            self.tags[name] = {tag: digest for tag, digest in tags.items() if digest != selected}
        return web.Response(status=status)

    async def _tags(self, request: web.Request, name: str) -> web.Response:
        if name not in self.manifests:
            return web.Response(status=404)
        if self.list_of_tags is not ...:
            return web.json_response(self.list_of_tags)
        tags = sorted(tag for tag in self.tags.get(name, {}) if tag > request.query.get("after", ""))
        page, left = (tags[: self.habits.page], tags[self.habits.page :]) if self.habits.page else (tags, [])
        link = {"Link": self.habits.link.format(name=name, after=page[-1])} if left else {}
        return web.json_response({"name": name, "tags": page or None}, headers=link)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@asynccontextmanager
async def habitual(habits: Habits | None = None) -> AsyncIterator[tuple[HabitualRegistry, str]]:
    """Such a registry, and its host."""
    registry = HabitualRegistry(habits)
    async with serving(registry.answer) as host:
        yield registry, host
        await asyncio.sleep(0)
