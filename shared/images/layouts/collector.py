"""What is in OCI layouts that no listed image and no layer in use refers to."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.domain.ports import Keep, Needed, Unneeded
from shared.images.layouts.layout import ImageLayout, tag_of
from shared.images.packing.cache import PREFIX, LayerRecord

_BLOB, _TAG = "blob", "image"


class LayoutCollector:
    """The port Collector for the layouts below one folder."""

    def __init__(self, images: Path, keep: Keep) -> None:
        self._images = images
        self._keep = keep

    async def unneeded(self, needed: Needed) -> AsyncIterator[Unneeded]:
        """Images that are not listed, then blobs that nothing refers to, of each account."""
        in_use = await self._layers_in_use(needed)
        for account, tags in needed.images.items():
            layout = ImageLayout(layout_folder(self._images, account.scope))
            for one in await asyncio.to_thread(_garbage, layout, tags, in_use, needed):
                yield one

    async def remove(self, one: Unneeded, needed: Needed) -> None:
        """Remove it, unless it was used meanwhile."""
        await asyncio.to_thread(_remove, one, needed)

    async def _layers_in_use(self, needed: Needed) -> frozenset[str]:
        digests: set[str] = set()
        async for kept in self._keep.names(PREFIX):
            if kept.used >= needed.layers_used_since:
                digests |= _digests(await self._keep.get(kept.name))
        return frozenset(digests)


def layout_folder(images: Path, scope: str) -> Path:
    """Where the layout of an account is."""
    return images / scope.replace("!", "/")


def _digests(record: bytes | None) -> set[str]:
    try:
        return {layer.digest for layer in LayerRecord.from_stored(record or b"").layers}
    except ValidationError:  # it was removed meanwhile, or is of another version
        return set()


def _garbage(layout: ImageLayout, tags: Collection[str], in_use: Collection[str], needed: Needed) -> list[Unneeded]:
    return list(_found(layout, tags, in_use, needed))


def _found(layout: ImageLayout, tags: Collection[str], in_use: Collection[str], needed: Needed) -> Iterator[Unneeded]:
    listed = layout.manifests()
    gone = [entry for entry in listed if tag_of(entry) and tag_of(entry) not in tags and _old(layout, entry, needed)]
    for entry in gone:
        yield Unneeded(_TAG, f"{layout.folder}:{tag_of(entry)}", entry["size"])
    images = {entry["digest"] for entry in listed if tag_of(entry) and entry not in gone}
    about = {entry["digest"] for entry in listed if not tag_of(entry) and layout.subject(entry) in images}
    reached = {*in_use, *(digest for manifest in images | about for digest in layout.blobs_of(manifest))}
    for blob in (layout.folder / "blobs").glob("*/*"):
        if f"{blob.parent.name}:{blob.name}" not in reached and _used(blob) < needed.settled_before:
            yield Unneeded(_BLOB, str(blob), blob.stat().st_size)


def _old(layout: ImageLayout, entry: Mapping[str, Any], needed: Needed) -> bool:
    return _used(layout.blob(entry["digest"])) < needed.settled_before


def _used(blob: Path) -> datetime:
    try:
        return datetime.fromtimestamp(blob.stat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.now(UTC)


def _remove(one: Unneeded, needed: Needed) -> None:
    if one.kind == _BLOB and _used(blob := Path(one.name)) < needed.settled_before:
        ImageLayout(blob.parents[2]).remove_blob(f"{blob.parent.name}:{blob.name}")
    if one.kind == _TAG:
        folder, name, version = one.name.rsplit(":", 2)
        layout, tag = ImageLayout(Path(folder)), f"{name}:{version}"
        for entry in layout.manifests():
            if tag_of(entry) == tag and _old(layout, entry, needed):
                layout.remove_tag(tag, entry["digest"])
