"""Artifacts: what is said about an image, kept beside it. Source: OCI image specification 1.1, manifest.md, `subject`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.registries.manifests import MANIFEST_TYPE, digest_of

_EMPTY = b"{}"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True)
class Artifact:
    """A manifest about the image of the digest `subject`: how an index lists it, and the blobs that it names."""

    manifest: bytes
    descriptor: Mapping[str, Any]
    blobs: tuple[bytes, ...]
    subject: str


def artifact(image: bytes, kind: str, media_type: str, content: bytes, created: datetime) -> Artifact:
    """The artifact of that type, with that content, about the image of that manifest; always the same bytes."""
    subject = describe(MANIFEST_TYPE, image)
    annotations = {"org.opencontainers.image.created": created.strftime("%Y-%m-%dT%H:%M:%SZ")}
    manifest = canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": kind,
            "config": describe(_EMPTY_TYPE, _EMPTY),
            "layers": [describe(media_type, content)],
            "subject": subject,
            "annotations": annotations,
        }
    )
    descriptor = {**describe(MANIFEST_TYPE, manifest), "artifactType": kind, "annotations": annotations}
    return Artifact(manifest, descriptor, (_EMPTY, content), subject["digest"])


def describe(media_type: str, content: bytes) -> dict[str, Any]:
    """The descriptor of that content."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def canonical(value: Mapping[str, Any]) -> bytes:
    """JSON that is the same bytes for the same value."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
