"""Manifests as registries have them: known by the digest of their bytes, and by what the bytes say.

`Content-Type` and `Docker-Content-Digest` are not relied on: proxies rewrite them, and registries leave them out.
Source: OCI image specification, manifest.md and image-index.md; Docker image manifest, version 2 schema 1 and 2.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.registries.bodies import json_object

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
SCHEMA_1_TYPE = "application/vnd.docker.distribution.manifest.v1+json"
_KNOWN = (MANIFEST_TYPE, INDEX_TYPE, DOCKER_MANIFEST_TYPE, DOCKER_INDEX_TYPE)
ACCEPTED = ", ".join(_KNOWN)
INDEX_TYPES = frozenset({INDEX_TYPE, DOCKER_INDEX_TYPE})
MOST_BYTES = 4 * 1024 * 1024
"""What registries take, by the specification."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class StoredManifest:
    """A manifest, or an index of several, as a registry has it; `content` is empty where it is no JSON object."""

    digest: str
    media_type: str
    content: Mapping[str, Any]

    @classmethod
    def of(cls, content: bytes, said: str) -> "StoredManifest":
        """What those bytes are; `said` is the type that they came with."""
        found = json_object(content)
        return cls(digest_of(content), _media_type(found) or said.partition(";")[0].strip().lower(), found)


def digest_of(content: bytes) -> str:
    """The digest of those bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def is_digest(text: object) -> bool:
    """Whether that is a digest as all content here has."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def _media_type(content: Mapping[str, Any]) -> str:
    """By what it says, else by its shape; empty for neither."""
    if content.get("schemaVersion") == 1:
        return SCHEMA_1_TYPE
    said = content.get("mediaType")
    if said in _KNOWN:
        return str(said)
    return INDEX_TYPE if "manifests" in content else MANIFEST_TYPE if "config" in content else ""
