"""Base images: what an image stands on. Source: OCI image specification, image-index.md, manifest.md and config.md.

What a registry says is taken part by part: nothing of it need be there, or be of its kind.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.domain.errors import BuildFailed, foreign
from shared.domain.images import Layer
from shared.images.packing.compression import METHODS, Compression
from shared.registries.bodies import json_object, objects
from shared.registries.manifests import INDEX_TYPES, SCHEMA_1_TYPE, StoredManifest, is_digest
from shared.registries.platforms import Platform
from shared.registries.references import Reference
from shared.registries.registries import Registries
from shared.registries.repository import Repository

_LAYERS = {"application/vnd.docker.image.rootfs.diff.tar.gzip": METHODS[Compression.GZIP].media_type}
"""Docker's own names of what OCI names otherwise."""
_MOST_CONFIG = 8 * 1024 * 1024
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
        self._platform = Platform.parse(platform)
        self._read: dict[str, BaseImage] = {}

    async def pin(self, text: str) -> str:
        """The image of this platform that the reference names today, by its digest. Raises BuildFailed, Unavailable."""
        reference = Reference.parse(text)
        found = await self._manifest(reference)
        is_index = found.media_type in INDEX_TYPES
        pinned = str(reference.pinned(self._entry(reference, found) if is_index else found.digest))
        await self.read(pinned)
        return pinned

    async def read(self, pinned: str) -> BaseImage:
        """What the image of that digest holds. Raises BuildFailed, Unavailable."""
        if pinned not in self._read:
            reference = Reference.parse(pinned)
            found = await self._manifest(reference)
            _refuse_what_is_no_image(reference, found)
            repository = self._registries.repository(reference)
            config = json_object(await repository.read(_config(reference, found), _MOST_CONFIG))
            self._refuse_other_platforms(reference, config)
            layers = _layers(reference, found, config)
            self._read[pinned] = BaseImage(repository, layers, _environment(config))
        return self._read[pinned]

    def _entry(self, reference: Reference, index: StoredManifest) -> str:
        """The digest of the index's entry for this platform."""
        entries = objects(index.content.get("manifests"))
        named = [(platform, entry) for entry in entries if (platform := Platform.of(entry.get("platform")))]
        if not named:
            raise _not_usable(reference, "an index that names no platforms")
        entry = self._platform.best(named)
        if entry is None:
            raise self._other_platforms(reference, (platform for platform, _ in named))
        if not is_digest(entry.get("digest")):
            raise _not_usable(reference, f"an index whose entry for {self._platform} has no digest")
        return str(entry["digest"])

    def _refuse_other_platforms(self, reference: Reference, config: Mapping[str, Any]) -> None:
        platform = Platform.of(config)
        if platform is None:
            raise _not_usable(reference, "an image whose config names no platform")
        if platform.plain != self._platform.plain:
            raise self._other_platforms(reference, [platform])

    def _other_platforms(self, reference: Reference, platforms: Iterable[Platform]) -> BuildFailed:
        there = foreign(", ".join(dict.fromkeys(map(str, platforms))), 500)
        message = f"The base image {reference} is there for {there}, not for {self._platform}."
        return BuildFailed(message, code="BaseImageNotFound")

    async def _manifest(self, reference: Reference) -> StoredManifest:
        found = await self._registries.repository(reference).manifest(reference.selected)
        if found is None:
            raise BuildFailed(f"There is no base image {reference}.", code="BaseImageNotFound")
        return found


def _refuse_what_is_no_image(reference: Reference, found: StoredManifest) -> None:
    if found.media_type == SCHEMA_1_TYPE:
        raise _not_usable(reference, "a manifest of Docker's schema 1, which registries have given up; push it anew")
    if found.media_type in INDEX_TYPES:
        raise _not_usable(reference, "an index within an index")
    if not found.content:
        raise _not_usable(reference, "no JSON object")


def _config(reference: Reference, found: StoredManifest) -> str:
    config = found.content.get("config")
    digest = config.get("digest") if isinstance(config, Mapping) else None
    if not is_digest(digest):
        raise _not_usable(reference, "a manifest without a config")
    return str(digest)


def _layers(reference: Reference, found: StoredManifest, config: Mapping[str, Any]) -> tuple[Layer, ...]:
    rootfs = config.get("rootfs")
    diffs = rootfs.get("diff_ids") if isinstance(rootfs, Mapping) else None
    if not isinstance(diffs, list) or not all(map(is_digest, diffs)):
        raise _not_usable(reference, "an image whose config lists no layers: an artifact, such as a chart")
    listed = objects(found.content.get("layers"))
    if len(diffs) != len(listed):
        raise _not_usable(reference, f"a manifest of {len(listed)} layers, whose config names {len(diffs)}")
    return tuple(_layer(reference, layer, diff) for layer, diff in zip(listed, diffs, strict=True))


def _layer(reference: Reference, layer: Mapping[str, Any], diff: str) -> Layer:
    media_type, digest, size = (layer.get(key) for key in ("mediaType", "digest", "size"))
    if not isinstance(media_type, str) or not is_digest(digest) or not isinstance(size, int) or size < 0:
        raise _not_usable(reference, "a manifest with a layer that has no type, digest or size")
    media_type = media_type.partition(";")[0].strip()
    return Layer(media_type=_LAYERS.get(media_type, media_type), digest=str(digest), size=size, diff_id=diff, title=TITLE)


def _environment(config: Mapping[str, Any]) -> tuple[str, ...]:
    runs = config.get("config")
    given: Sequence[object] = (runs.get("Env") if isinstance(runs, Mapping) else None) or ()
    return tuple(one for one in given if isinstance(one, str)) if isinstance(given, list) else ()


def _not_usable(reference: Reference, what: str) -> BuildFailed:
    return BuildFailed(f"The base image {reference} is {what}.", code="BaseImageNotUsable")
