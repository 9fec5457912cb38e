"""An OCI image layout on disk, with the verbs of a registry: is the blob there, put it, put a manifest under a tag.

Source: OCI image specification, image-layout.md. Writers of several processes may share one: blobs and the index take
their places by rename, and the index changes under a lock.
"""

import fcntl
import hashlib
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from isal import igzip

from shared.domain.errors import BuildFailed, DeployFailed, Unavailable
from shared.domain.fencing import check_fence

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TITLE = "slipway.layer"
"""The annotation of a layer that Slipway made: what it holds."""
_REF_NAME = "org.opencontainers.image.ref.name"


def location_of(folder: Path, tag: str) -> str:
    """What an image in a layout is called: `oci:<folder>:<tag>`."""
    return f"oci:{folder}:{tag}"


class ImageLayout:
    """One layout, made when it is first written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def blob(self, digest: str) -> Path:
        """Where the blob of that digest is, or would be."""
        algorithm, _, value = digest.partition(":")
        return self.folder / "blobs" / algorithm / value

    def has_blob(self, digest: str) -> bool:
        """Whether the blob is there, whole."""
        return self.blob(digest).exists()

    def put_file(self, digest: str, file: Path) -> None:
        """The file as the blob of its digest: linked where the file system can, else copied."""
        if self.has_blob(digest):
            return
        target = self.blob(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.parent / f".{uuid4().hex}"
        try:
            os.link(file, partial)
        except OSError:
            shutil.copyfile(file, partial)
        try:
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)  # a rename onto another link of the same file leaves both

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """Where a blob may be written that is still coming, beside the others; gone afterwards."""
        folder = self.folder / "blobs" / "sha256"
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{uuid4().hex}"
        try:
            yield partial
        finally:
            partial.unlink(missing_ok=True)

    def put_bytes(self, content: bytes) -> str:
        """The content as a blob; its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if not self.has_blob(digest):
            _write_whole(self.blob(digest), content)
        return digest

    def put_manifest(self, content: bytes, tag: str) -> str:
        """The manifest under that tag; its digest. Raises BuildFailed when the tag names another image."""
        digest = self.put_bytes(content)
        check_fence()
        with self._changing_index() as index:
            entries = [entry for entry in index["manifests"] if entry["annotations"][_REF_NAME] == tag]
            if any(entry["digest"] != digest for entry in entries):
                raise BuildFailed(f"The tag {tag} names another image already; a tag never moves.", code="TagTaken")
            if not entries:
                annotations = {_REF_NAME: tag}
                descriptor = {"mediaType": MANIFEST_TYPE, "digest": digest, "size": len(content), "annotations": annotations}
                index["manifests"].append(descriptor)
        return digest

    def remove_tag(self, tag: str) -> None:
        """Nothing has that tag; blobs stay. Harmless when nothing had."""
        with self._changing_index() as index:
            index["manifests"] = [entry for entry in index["manifests"] if entry["annotations"][_REF_NAME] != tag]

    def read_json(self, digest: str) -> dict[str, Any]:
        """A manifest or config; raises Unavailable when it is not there."""
        try:
            return cast("dict[str, Any]", json.loads(self.blob(digest).read_bytes()))
        except FileNotFoundError as error:
            raise Unavailable(f"The image layout has no blob {digest}.", code="BlobMissing") from error

    @contextmanager
    def _changing_index(self) -> Iterator[dict[str, Any]]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            file = self.folder / "index.json"
            empty = {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": []}
            index = json.loads(file.read_bytes()) if file.exists() else empty
            yield index
            _write_whole(self.folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            _write_whole(file, json.dumps(index, indent=2).encode())


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
        try:
            for layer in _own_layers(layout.read_json(digest)["layers"]):
                _unpack_layer(layout.blob(layer["digest"]), partial)
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


def _unpack_layer(blob: Path, into: Path) -> None:
    """Layers are our own: regular files and folders, inside. The check is against a layout that was tampered with."""
    with igzip.open(blob, "rb") as stream, tarfile.open(fileobj=cast("Any", stream), mode="r|") as archive:
        for info in archive:
            target = (into / info.name).absolute()
            if not (info.isreg() or info.isdir()) or not target.is_relative_to(into.absolute()) or ".." in target.parts:
                raise Unavailable(
                    f"The layer {blob.name} holds '{info.name}', which no layer of ours does.", code="BadLayer"
                )
            if info.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            content = archive.extractfile(info)
            if content is not None:
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file, 1024 * 1024)
                target.chmod(stat.S_IMODE(info.mode))


def _write_whole(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.parent / f".{uuid4().hex}"
    partial.write_bytes(content)
    partial.replace(file)
