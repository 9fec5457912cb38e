"""Images: what a manifest became. Source: api.md, Image and ImageRequest; the OCI image specification for layers."""

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

from shared.domain.documents import Document, Term
from shared.domain.fields import ComputeResourceId, Description, DnsName, Id
from shared.domain.manifests import Manifest
from shared.domain.operations import ErrorResponse, State
from shared.domain.wire import Timestamp, Wire

BUILD_LOG = "BuildLog"
"""The code of the error detail whose message is where a failed build's log is (client-facts.md, 7)."""


def log_path(image_id: str) -> str:
    """Where the build log of an image is, below the account's address."""
    return f"images/{image_id}/logs"


class ImageType(StrEnum):
    """How an image is packed."""

    DOCKER = "Docker"


class ImageRequest(Wire):
    """What a caller asks to be built."""

    name: DnsName
    manifest_id: Id
    image_type: ImageType
    compute_resource_id: ComputeResourceId
    description: Description | None = None
    no_cache: bool = False
    """Whether all is built anew, whatever is kept from before; an extension of api.md."""


class Layer(Wire):
    """A layer that is stored: an OCI descriptor, the digest of its uncompressed tar, and what it holds.

    `key` is made of all that went into it; `why_new` says why it was not taken from the cache under that key.
    """

    media_type: str
    digest: str
    size: int
    diff_id: str
    title: str
    cached: bool = False
    key: str | None = None
    why_new: str | None = None


class Image(Document):
    """An image: asked for, being built, built, or failed with its cause."""

    kind: ClassVar[str] = "image"
    narrowest: ClassVar[tuple[str, ...]] = ("manifestId", "manifestName")
    unseen: ClassVar[frozenset[str]] = frozenset({"image_build_log_uri"})

    name: DnsName
    version: int
    description: str | None = None
    image_type: ImageType
    manifest: Manifest
    compute_resource_id: str
    creation_state: State = State.NOT_STARTED
    created_time: Timestamp
    image_location: str | None = None
    image_digest: str | None = None
    image_build_log_uri: str | None = None
    operation_id: str
    error: ErrorResponse | None = None
    layers: tuple[Layer, ...] | None = None
    """What it is made of, lowest first; an extension of api.md. Lists and services show an image without."""

    def terms(self) -> Iterator[Term]:
        yield {"manifestId": self.manifest.id}
        yield {"manifestName": self.manifest.name}

    def running(self) -> "Image":
        """Its build has begun."""
        return self.but(creation_state=State.RUNNING)

    def built(self, *, location: str, digest: str, layers: tuple[Layer, ...]) -> "Image":
        """It can be pulled from there."""
        return self.but(creation_state=State.SUCCEEDED, image_location=location, image_digest=digest, layers=layers)

    def renumbered(self, version: int) -> "Image":
        """Its version was taken where images go, and this one is its own now."""
        return self.but(version=version)

    def summary(self) -> "Image":
        """As lists and services show it."""
        return self.but(layers=None)

    def cancelled(self) -> "Image":
        """Its build was given up."""
        return self.but(creation_state=State.CANCELLED)

    def failed(self, error: ErrorResponse) -> "Image":
        """It could not be built."""
        return self.but(creation_state=State.FAILED, error=error)
