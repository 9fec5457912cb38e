"""An OCI image layout on disk, with the verbs of a registry: is the blob there, put it, put a manifest under a tag.

Source: OCI image specification, image-layout.md. Writers of several processes may share one: blobs and the index take
their places by rename, and the index changes under a lock.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from shared.domain.building import TAG_TAKEN
from shared.domain.errors import BuildFailed, Unavailable
from shared.domain.fencing import check_fence
from shared.images.describing.artifacts import Artifact
from shared.images.whole_files import write_whole
from shared.registries.manifests import INDEX_TYPE, MANIFEST_TYPE, digest_of

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
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
        """Whether the blob is there, whole; it counts as used now."""
        try:
            os.utime(self.blob(digest))
        except FileNotFoundError:
            return False
        return True

    def borrow(self, digest: str, other: "ImageLayout") -> bool:
        """Whether the blob is in the other layout, and so in this one now: linked where the file system can, else copied."""
        if not other.has_blob(digest):
            return False
        with self.incoming() as partial:
            partial.unlink(missing_ok=True)
            try:
                os.link(other.blob(digest), partial)
            except OSError:
                shutil.copyfile(other.blob(digest), partial)
            self.take(partial, digest)
        return True

    def take(self, partial: Path, digest: str) -> None:
        """What came in as the blob of its digest."""
        partial.replace(self.blob(digest))

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
        digest = digest_of(content)
        if not self.has_blob(digest):
            write_whole(self.blob(digest), content)
        return digest

    def put_manifest(self, content: bytes, tag: str) -> str:
        """The manifest under that tag; its digest. Raises BuildFailed when the tag names another image."""
        digest = self.put_bytes(content)
        check_fence()
        with self._changing_index() as index:
            entries = [entry for entry in index["manifests"] if tag_of(entry) == tag]
            if any(entry["digest"] != digest for entry in entries):
                raise BuildFailed(f"The tag {tag} names another image already; a tag never moves.", code=TAG_TAKEN)
            if not entries:
                annotations = {_REF_NAME: tag}
                descriptor = {"mediaType": MANIFEST_TYPE, "digest": digest, "size": len(content), "annotations": annotations}
                index["manifests"].append(descriptor)
        return digest

    def put_artifact(self, artifact: Artifact) -> None:
        """The artifact, listed in the index without a tag of its own."""
        self.put_bytes(artifact.manifest)
        check_fence()
        with self._changing_index() as index:
            if artifact.descriptor not in index["manifests"]:
                index["manifests"].append(dict(artifact.descriptor))

    def attached(self, digest: str) -> frozenset[str]:
        """The types of the artifacts that are about that digest; they count as used now."""
        about = [entry for entry in self.manifests() if not tag_of(entry) and self.subject(entry) == digest]
        used = [entry for entry in about if all(self.has_blob(blob) for blob in self.blobs_of(entry["digest"]))]
        return frozenset(str(entry.get("artifactType", "")) for entry in used)

    def named(self, tag: str) -> str:
        """The digest that the tag names, empty when nothing has it."""
        return next((str(entry["digest"]) for entry in self.manifests() if tag_of(entry) == tag), "")

    def tags(self) -> list[str]:
        """All tags."""
        return [tag_of(entry) for entry in self.manifests() if tag_of(entry)]

    def remove_tag(self, tag: str, digest: str, *, keep_artifacts: bool = False) -> None:
        """The tag does not name that digest, and nothing is about it unless another tag has it; blobs stay. A tag that names
        another digest is another's, and stays."""
        with self._changing_index() as index:
            kept = [entry for entry in index["manifests"] if (tag_of(entry), entry["digest"]) != (tag, digest)]
            tagged = {entry["digest"] for entry in kept if tag_of(entry)}
            stay = keep_artifacts or digest in tagged
            index["manifests"] = [entry for entry in kept if stay or tag_of(entry) or self.subject(entry) != digest]

    def remove_blob(self, digest: str) -> None:
        """Nothing is that blob, and no artifact of it is listed."""
        if any(entry["digest"] == digest for entry in self.manifests()):
            with self._changing_index() as index:
                index["manifests"] = [entry for entry in index["manifests"] if tag_of(entry) or entry["digest"] != digest]
        self.blob(digest).unlink(missing_ok=True)

    def blobs_of(self, digest: str) -> list[str]:
        """A manifest, and the blobs that it names."""
        manifest = self.read_json(digest)
        return [digest, *(part["digest"] for part in (manifest["config"], *manifest["layers"]))]

    def subject(self, entry: Mapping[str, Any]) -> str:
        """The digest that an artifact of the index is about, empty for an image."""
        return str(self.read_json(entry["digest"]).get("subject", {}).get("digest", ""))

    def read_json(self, digest: str) -> dict[str, Any]:
        """A manifest or config; raises Unavailable when it is not there."""
        try:
            return cast("dict[str, Any]", json.loads(self.blob(digest).read_bytes()))
        except FileNotFoundError as error:
            raise Unavailable(f"The image layout has no blob {digest}.", code="BlobMissing") from error

    def manifests(self) -> list[dict[str, Any]]:
        """What the index lists."""
        file = self.folder / "index.json"
        return cast("list[dict[str, Any]]", json.loads(file.read_bytes())["manifests"]) if file.exists() else []

    @contextmanager
    def _changing_index(self) -> Iterator[dict[str, Any]]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": self.manifests()}
            yield index
            write_whole(self.folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            write_whole(self.folder / "index.json", json.dumps(index, indent=2).encode())


def tag_of(entry: Mapping[str, Any]) -> str:
    """The tag of an entry of an index, empty when it has none."""
    return str(entry.get("annotations", {}).get(_REF_NAME, ""))
