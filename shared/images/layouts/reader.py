"""Reads images of OCI layouts: how they are started, and their files. Source: OCI image specification, layer.md."""

import os
import shutil
import stat
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast
from uuid import uuid4

from isal import igzip
from zstandard import ZstdDecompressor

from shared.domain.errors import DeployFailed, Unavailable
from shared.images.layouts.layout import LAYER_TITLE, ImageLayout
from shared.images.packing.layers import OPAQUE, WHITEOUT


class LayoutReader:
    """Reads published images: their config, and their files. Blocking."""

    def image_config(self, location: str, digest: str) -> dict[str, Any]:
        """The `config` object of the image's config: Entrypoint, Env and the like."""
        layout = _layout_at(location)
        manifest = layout.read_json(digest)
        return cast("dict[str, Any]", layout.read_json(manifest["config"]["digest"])["config"])

    def unpack(self, location: str, digest: str, into: Path) -> None:
        """The image's own files below `into`, without its base's: all of them, or `into` is not there afterwards.

        Harmless when they are there.
        """
        if into.exists():
            return
        layout = _layout_at(location)
        partial = into.parent / f".{into.name}.{uuid4().hex}"
        partial.mkdir(parents=True)
        try:
            for layer in _own_layers(layout.read_json(digest)["layers"]):
                _unpack_layer(layout.blob(layer["digest"]), layer["mediaType"], partial)
            partial.replace(into)
        except OSError:
            if not into.exists():  # else another was first, with the same files
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _layout_at(location: str) -> ImageLayout:
    scheme, _, rest = location.partition(":")
    if scheme != "oci":
        raise DeployFailed(
            f"{location} is in a registry; the local compute runs images of OCI layouts only.", code="ImageNotOnThisMachine"
        )
    return ImageLayout(Path(rest.rsplit(":", 2)[0]))


def _own_layers(layers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that Slipway made, without the base image's: they run on what is here."""
    own = [layer for layer in layers if LAYER_TITLE in layer.get("annotations", {})]
    return own or list(layers)


def _unpack_layer(blob: Path, media_type: str, into: Path) -> None:
    """Layers are our own: files, folders, and links inside. The check is against a layout that was tampered with."""
    root = into.absolute()
    brought: set[Path] = set()
    with _decompressed(blob, media_type) as stream, tarfile.open(fileobj=cast("Any", stream), mode="r|") as archive:
        for info in archive:
            target = root / info.name
            leads_to = target.parent / info.linkname if info.issym() else target
            if (
                not (info.isreg() or info.isdir() or info.issym())
                or not _inside(target, root)
                or not _inside(leads_to, root)
            ):
                raise Unavailable(
                    f"The layer {blob.name} holds '{info.name}', which no layer of ours does.", code="BadLayer"
                )
            if target.name.startswith(WHITEOUT):
                _delete_below(target, brought)
                continue
            brought.update((target, *target.parents))
            _unpack_one(archive, info, target)


def _delete_below(whiteout: Path, brought: Collection[Path]) -> None:
    """What a whiteout hides of the layers below: one name, or all of its folder. What its own layer brought stays."""
    opaque = whiteout.name == OPAQUE
    hidden = list(whiteout.parent.glob("*")) if opaque else [whiteout.with_name(whiteout.name.removeprefix(WHITEOUT))]
    for path in hidden:
        if path.is_dir() and not path.is_symlink():
            for inner in sorted(path.rglob("*"), reverse=True):
                _delete_one(inner, brought)
        _delete_one(path, brought)


def _delete_one(path: Path, brought: Collection[Path]) -> None:
    if path in brought:
        return
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _inside(path: Path, root: Path) -> bool:
    """Whether it is below the root, by its words and by the links that are there."""
    return Path(os.path.normpath(path)).is_relative_to(root) and path.parent.resolve().is_relative_to(root.resolve())


def _unpack_one(archive: tarfile.TarFile, info: tarfile.TarInfo, target: Path) -> None:
    if info.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # of a layer below: never written through, should it be a link
    if info.issym():
        target.symlink_to(info.linkname)
        return
    content = archive.extractfile(info)
    if content is not None:
        with target.open("wb") as file:
            shutil.copyfileobj(content, file, 1024 * 1024)
        target.chmod(stat.S_IMODE(info.mode))


@contextmanager
def _decompressed(blob: Path, media_type: str) -> Iterator[IO[bytes]]:
    if not media_type.endswith("zstd"):
        with igzip.open(blob, "rb") as stream:
            yield cast("IO[bytes]", stream)
        return
    with blob.open("rb") as packed, ZstdDecompressor().stream_reader(packed, read_across_frames=True) as stream:
        yield cast("IO[bytes]", stream)
