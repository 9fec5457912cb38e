"""Base images: what an image stands on. Source: OCI image specification, image-index.md and config.md."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.errors import BuildFailed, Unavailable
from shared.domain.images import Layer
from shared.images.packing.compression import METHODS, Compression
from shared.registries.references import Reference
from shared.registries.registries import Registries
from shared.registries.registry import Repository, StoredManifest

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_LAYERS = {"application/vnd.docker.image.rootfs.diff.tar.gzip": METHODS[Compression.GZIP].media_type}
"""Docker's own names of what OCI names otherwise."""
TITLE = "base"


@dataclass(frozen=True)
class BaseImage:
    """One image for one platform: where its layers are, which they are, and the environment that it sets."""

    repository: Repository
    layers: tuple[Layer, ...]
    environment: tuple[str, ...]


class BaseImages:
    """Finds base images for one platform."""

    def __init__(self, registries: Registries, platform: str) -> None:
        self._registries = registries
        self._platform = platform
        self._read: dict[str, BaseImage] = {}

    async def pin(self, text: str) -> str:
        """The image of this platform that the reference names today, by its digest. Raises BuildFailed, Unavailable."""
        reference = Reference.parse(text)
        found = await self._manifest(reference)
        if found.media_type not in _INDEXES:
            pinned = str(reference.pinned(found.digest))
            await self.read(pinned)
            return pinned
        platforms = {_platform(entry.get("platform", {})): entry["digest"] for entry in found.content["manifests"]}
        self._refuse_other_platforms(reference, platforms)
        return str(reference.pinned(platforms[self._platform]))

    async def read(self, pinned: str) -> BaseImage:
        """What the image of that digest holds. Raises BuildFailed, Unavailable."""
        if pinned not in self._read:
            reference = Reference.parse(pinned)
            manifest = (await self._manifest(reference)).content
            repository = self._registries.repository(reference)
            text = b"".join([chunk async for chunk in repository.download(manifest["config"]["digest"])])
            config = json.loads(text)
            self._refuse_other_platforms(reference, [_platform(config)])
            diffs = config["rootfs"]["diff_ids"]
            if len(diffs) != len(manifest["layers"]):
                raise Unavailable(f"The base image {reference} is damaged: its config names other layers.")
            layers = (
                Layer(
                    media_type=_LAYERS.get(layer["mediaType"], layer["mediaType"]),
                    digest=layer["digest"],
                    size=layer["size"],
                    diff_id=diff,
                    title=TITLE,
                )
                for layer, diff in zip(manifest["layers"], diffs, strict=True)
            )
            self._read[pinned] = BaseImage(repository, tuple(layers), tuple(config.get("config", {}).get("Env") or ()))
        return self._read[pinned]

    def _refuse_other_platforms(self, reference: Reference, platforms: Collection[str]) -> None:
        if self._platform not in platforms:
            raise BuildFailed(
                f"The base image {reference} is there for {', '.join(platforms)}, not for {self._platform}.",
                code="BaseImageNotFound",
            )

    async def _manifest(self, reference: Reference) -> StoredManifest:
        found = await self._registries.repository(reference).manifest(reference.selected)
        if found is None:
            raise BuildFailed(f"There is no base image {reference}.", code="BaseImageNotFound")
        return found


def _platform(platform: Mapping[str, Any]) -> str:
    return f"{platform.get('os', '')}/{platform.get('architecture', '')}"
