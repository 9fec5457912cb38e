"""Where images go: a repository of a registry, or an OCI layout on disk. One promise, two places."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from shared.domain.errors import BuildFailed, Unavailable
from shared.domain.fencing import check_fence
from shared.domain.ports import PublishedImage
from shared.images.layout import ImageLayout, location_of
from shared.registries.registry import Repository

_CHUNK = 1024 * 1024


class Target(Protocol):
    """Takes the blobs and manifests of one image. Everything may be repeated; a tag never moves to another digest."""

    async def has_blob(self, digest: str) -> bool:
        """Whether the blob is there."""

    async def put_file(self, digest: str, file: Path) -> bool:
        """The file as the blob of its digest; whether it had to be sent."""

    async def put_bytes(self, content: bytes) -> str:
        """The content as a blob; its digest."""

    async def take_over(self, digest: str, source: Repository) -> str:
        """The blob of that repository; how it came here."""

    async def put_manifest(self, content: bytes) -> PublishedImage:
        """The manifest under the image's tag. Raises BuildFailed when the tag names another image."""

    async def remove_tag(self) -> None:
        """Nothing has the image's tag."""


class LayoutTarget:
    """An OCI layout on disk, where the tag is `name:version`."""

    def __init__(self, layout: ImageLayout, tag: str) -> None:
        self._layout = layout
        self._tag = tag

    async def has_blob(self, digest: str) -> bool:
        return await asyncio.to_thread(self._layout.has_blob, digest)

    async def put_file(self, digest: str, file: Path) -> bool:
        there = await self.has_blob(digest)
        await asyncio.to_thread(self._layout.put_file, digest, file)
        return not there

    async def put_bytes(self, content: bytes) -> str:
        return await asyncio.to_thread(self._layout.put_bytes, content)

    async def take_over(self, digest: str, source: Repository) -> str:
        if await self.has_blob(digest):
            return "there"
        with self._layout.incoming() as partial:
            came = hashlib.sha256()
            with partial.open("wb") as file:
                async for chunk in source.download(digest):
                    came.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
            if f"sha256:{came.hexdigest()}" != digest:
                raise Unavailable(f"{source.location}: what came is not the blob {digest}.", code="RegistryCorrupt")
            await asyncio.to_thread(self._layout.put_file, digest, partial)
        return "copied"

    async def put_manifest(self, content: bytes) -> PublishedImage:
        digest = await asyncio.to_thread(self._layout.put_manifest, content, self._tag)
        return PublishedImage(location_of(self._layout.folder, self._tag), digest)

    async def remove_tag(self) -> None:
        await asyncio.to_thread(self._layout.remove_tag, self._tag)


class RegistryTarget:
    """A repository, where the tag is the image's version."""

    def __init__(self, repository: Repository, tag: str) -> None:
        self._repository = repository
        self._tag = tag

    async def has_blob(self, digest: str) -> bool:
        return await self._repository.has_blob(digest)

    async def put_file(self, digest: str, file: Path) -> bool:
        if await self.has_blob(digest):
            return False
        await self._repository.upload(digest, lambda: _chunks(file))
        return True

    async def put_bytes(self, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if not await self.has_blob(digest):
            await self._repository.upload(digest, lambda: _one(content))
        return digest

    async def take_over(self, digest: str, source: Repository) -> str:
        if await self.has_blob(digest):
            return "there"
        if source.host == self._repository.host and await self._repository.mount(digest, source.name):
            return "mounted"
        await self._repository.upload(digest, lambda: source.download(digest))
        return "copied"

    async def put_manifest(self, content: bytes) -> PublishedImage:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        there = await self._repository.manifest(self._tag)
        location = f"{self._repository.location}:{self._tag}"
        if there is not None and there.digest != digest:
            raise BuildFailed(f"The tag {location} names another image already; a tag never moves.", code="TagTaken")
        if there is None:
            check_fence()
            await self._repository.put_manifest(content, self._tag)
        return PublishedImage(location, digest)

    async def remove_tag(self) -> None:
        check_fence()
        await self._repository.untag(self._tag)


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as reading:
        while chunk := await asyncio.to_thread(reading.read, _CHUNK):
            yield chunk


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content
