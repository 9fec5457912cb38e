"""Where images go: a repository of a registry, or an OCI layout on disk. One promise, two places."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from shared.domain.building import TAG_TAKEN, IsNamed, PublishedImage
from shared.domain.errors import BuildFailed
from shared.domain.fencing import check_fence
from shared.domain.images import Layer
from shared.images.describing.artifacts import Artifact
from shared.images.layouts.layout import ImageLayout, location_of
from shared.registries.manifests import digest_of
from shared.registries.repository import Repository
from shared.registries.untagging import ensure_untagged

_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_MOST_TAGS = 20_000
_SEEN_THROUGH_SECONDS = 5.0


class Target(Protocol):
    """Takes the blobs and manifests of one image. Everything may be repeated; a tag never moves to another digest."""

    @property
    def place(self) -> str:
        """What `borrow` is told when blobs are to come from here."""

    async def has_blob(self, digest: str) -> bool:
        """Whether the blob is there."""

    async def borrow(self, digest: str, place: str) -> str:
        """How the blob is there now: it was, or it was had from that place without moving a byte. Empty when it is not."""

    async def put_bytes(self, content: bytes) -> str:
        """The content as a blob; its digest."""

    async def put_stream(self, chunks: AsyncIterator[bytes], layer: Awaitable[Layer]) -> None:
        """The chunks as the blob of that layer, which is known when they end."""

    async def take_over(self, digest: str, source: Repository) -> str:
        """The blob of that repository; how it came here."""

    @property
    def location(self) -> str:
        """What the image is called there."""

    async def attached(self, digest: str) -> frozenset[str]:
        """The types of the artifacts that are about that digest."""

    async def attach(self, artifacts: Sequence[Artifact]) -> None:
        """The artifacts, all about one image, to be found by what they are about (referrers, OCI 1.1)."""

    async def put_manifest(self, content: bytes) -> PublishedImage:
        """The manifest under the image's tag. Raises BuildFailed when the tag names another image."""

    async def named(self) -> str:
        """The digest that the image's tag names, empty when nothing has the tag."""

    async def versions(self) -> frozenset[int]:
        """Versions of the image whose tags something has; there may be more of them."""

    async def remove_tag(self, digest: str, is_named: IsNamed) -> None:
        """The image's tag does not name that digest, and nothing is attached to it, unless another tag or `is_named` names
        it. A tag that names another digest stays. Raises BuildFailed for one that cannot be removed."""


class LayoutTarget:
    """An OCI layout on disk, where the tag is `name:version`."""

    def __init__(self, layout: ImageLayout, tag: str) -> None:
        self._layout = layout
        self._tag = tag

    @property
    def place(self) -> str:
        return str(self._layout.folder)

    async def has_blob(self, digest: str) -> bool:
        return await asyncio.to_thread(self._layout.has_blob, digest)

    async def borrow(self, digest: str, place: str) -> str:
        if await self.has_blob(digest):
            return "there"
        return "linked" if await asyncio.to_thread(self._layout.borrow, digest, ImageLayout(Path(place))) else ""

    async def put_bytes(self, content: bytes) -> str:
        return await asyncio.to_thread(self._layout.put_bytes, content)

    async def put_stream(self, chunks: AsyncIterator[bytes], layer: Awaitable[Layer]) -> None:
        with self._layout.incoming() as file:
            await _written(chunks, file)
            self._layout.take(file, (await layer).digest)

    async def take_over(self, digest: str, source: Repository) -> str:
        if await self.has_blob(digest):
            return "there"
        with self._layout.incoming() as file:
            async with aclosing(source.download(digest)) as chunks:
                await _written(chunks, file)
            self._layout.take(file, digest)
        return "copied"

    @property
    def location(self) -> str:
        return location_of(self._layout.folder, self._tag)

    async def attached(self, digest: str) -> frozenset[str]:
        return await asyncio.to_thread(self._layout.attached, digest)

    async def attach(self, artifacts: Sequence[Artifact]) -> None:
        for artifact in artifacts:
            for blob in artifact.blobs:
                await self.put_bytes(blob)
            await asyncio.to_thread(self._layout.put_artifact, artifact)

    async def put_manifest(self, content: bytes) -> PublishedImage:
        digest = await asyncio.to_thread(self._layout.put_manifest, content, self._tag)
        return PublishedImage(self.location, digest)

    async def named(self) -> str:
        return await asyncio.to_thread(self._layout.named, self._tag)

    async def versions(self) -> frozenset[int]:
        name = self._tag.rpartition(":")[0]
        tags = await asyncio.to_thread(self._layout.tags)
        return _versions(tag.removeprefix(f"{name}:") for tag in tags if tag.startswith(f"{name}:"))

    async def remove_tag(self, digest: str, is_named: IsNamed) -> None:
        check_fence()
        await asyncio.to_thread(self._layout.remove_tag, self._tag, digest, keep_artifacts=await is_named())


class RegistryTarget:
    """A repository, where the tag is the image's version."""

    def __init__(self, repository: Repository, tag: str) -> None:
        self._repository = repository
        self._tag = tag

    @property
    def place(self) -> str:
        return self._repository.location

    async def has_blob(self, digest: str) -> bool:
        return await self._repository.has_blob(digest)

    async def borrow(self, digest: str, place: str) -> str:
        if await self.has_blob(digest):
            return "there"
        host, _, name = place.partition("/")
        near = host == self._repository.host and name != self._repository.name
        return "mounted" if near and await self._repository.mount(digest, name) else ""

    async def put_bytes(self, content: bytes) -> str:
        digest = digest_of(content)
        if not await self.has_blob(digest):
            await self._repository.upload(digest, content)
        return digest

    async def put_stream(self, chunks: AsyncIterator[bytes], layer: Awaitable[Layer]) -> None:
        async def digest() -> str:
            return (await layer).digest

        await self._repository.upload_stream(chunks, digest)

    async def take_over(self, digest: str, source: Repository) -> str:
        how = await self.borrow(digest, source.location)
        if not how:
            await self._repository.upload_stream(source.download(digest), partial(_known, digest))
        return how or "copied"

    @property
    def location(self) -> str:
        return f"{self._repository.location}:{self._tag}"

    async def attached(self, digest: str) -> frozenset[str]:
        return frozenset(str(one.get("artifactType", "")) for one in await self._repository.referrers(digest))

    async def attach(self, artifacts: Sequence[Artifact]) -> None:
        blobs = dict.fromkeys(blob for artifact in artifacts for blob in artifact.blobs)
        await asyncio.gather(*(self.put_bytes(blob) for blob in blobs))
        about = {artifact.manifest: artifact.descriptor for artifact in artifacts}
        for subject in {artifact.subject for artifact in artifacts}:
            check_fence()
            await self._repository.attach(about, subject)

    async def put_manifest(self, content: bytes) -> PublishedImage:
        digest = digest_of(content)
        there = await self._repository.named(self._tag)
        if there not in ("", digest):
            raise BuildFailed(f"The tag {self.location} names another image already; a tag never moves.", code=TAG_TAKEN)
        if not there:
            check_fence()
            await _seen_through(self._repository.put_manifest(content, self._tag))
        return PublishedImage(self.location, digest)

    async def named(self) -> str:
        return await self._repository.named(self._tag)

    async def versions(self) -> frozenset[int]:
        try:
            return _versions((await self._repository.tags(_MOST_TAGS)).tags)
        except BuildFailed:
            return frozenset()  # who may not list tags looks at each

    async def remove_tag(self, digest: str, is_named: IsNamed) -> None:
        await ensure_untagged(self._repository, self._tag, digest, is_named)


async def _seen_through[T](request: Coroutine[Any, Any, T]) -> T:
    """The request's answer. A worker that is stopped waits for it a little: what was sent may still be carried out, and who
    takes it back must not look before that."""
    asking = asyncio.ensure_future(request)
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        await asyncio.wait({asking}, timeout=_SEEN_THROUGH_SECONDS)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        raise


def _versions(tags: Iterable[str]) -> frozenset[int]:
    return frozenset(int(tag) for tag in tags if _VERSION.fullmatch(tag))


async def _known(digest: str) -> str:
    return digest


async def _written(chunks: AsyncIterator[bytes], into: Path) -> None:
    with into.open("wb") as file:
        async for chunk in chunks:
            await asyncio.to_thread(file.write, chunk)
