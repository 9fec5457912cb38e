"""What is attached to an image when it is published: its bill of materials, how it came to be, and its locks."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from shared.domain.building import ImageSource, content_key
from shared.domain.ids import created_at
from shared.images.content.one_folder import assets, driver_source, models
from shared.images.describing.artifacts import Artifact, artifact
from shared.images.describing.attestations import (
    LOCK_MEDIA_TYPE,
    LOCK_TYPE,
    PROVENANCE_TYPE,
    SBOM_TYPE,
    Build,
    DescribedImage,
    InstalledPackage,
    Material,
    PackageKind,
    base_image,
    provenance,
    sbom,
)
from shared.images.packages.channels import without_credentials
from shared.images.packages.conda import locked_packages
from shared.images.packages.dependencies import CONDA_LOCK, PIP_LOCK
from shared.images.packages.distributions import locked
from shared.version import VERSION

_BUILDER = "urn:x-slipway:builder:layering:v1"


@dataclass(frozen=True)
class Statements:
    """What can be said of one image: what it was made of, for which platform, and the locks of its packages, by name."""

    source: ImageSource
    platform: str
    python: str
    locks: Mapping[str, str]
    runtime_lock: str

    def artifacts(self, manifest: bytes, location: str, digest: str, made: Collection[str]) -> Iterator[Artifact]:
        """All but those of the types in `made`, which it has."""
        image = DescribedImage(self.source.name, self.source.version, location, digest)
        created = self.source.manifest.created_time
        if SBOM_TYPE not in made:
            content = sbom(image, self._packages(), created=created, slipway=VERSION)
            yield artifact(manifest, SBOM_TYPE, SBOM_TYPE, content, created)
        if PROVENANCE_TYPE not in made:
            content = provenance(image, self._build(), list(self._materials()))
            yield artifact(manifest, PROVENANCE_TYPE, PROVENANCE_TYPE, content, created)
        if LOCK_TYPE not in made and (text := self._lock_text()):
            yield artifact(manifest, LOCK_TYPE, LOCK_MEDIA_TYPE, text.encode(), created)

    def _packages(self) -> Iterator[InstalledPackage]:
        for lock in (self.locks[PIP_LOCK], self.runtime_lock):
            for package in locked(lock):
                yield InstalledPackage(PackageKind.PYPI, package.name, package.version, package.hashes)
        for found in locked_packages(self.locks[CONDA_LOCK]):
            yield InstalledPackage(PackageKind.CONDA, found.name, found.version, (f"sha256:{found.sha256}",), found.url)

    def _build(self) -> Build:
        source = self.source
        return Build(
            manifest=source.manifest,
            operation_id=source.operation_id,
            started=created_at(source.operation_id),
            platform=self.platform,
            python=self.python,
            builder=_BUILDER,
            slipway=VERSION,
        )

    def _materials(self) -> Iterator[Material]:
        if self.source.base:
            yield base_image(self.source.base)
        for one in (*models(self.source), *assets(self.source), driver_source(self.source)):
            yield Material(one.name, self.source.known[one.key].digest, one.url)
        for name in self.locks:
            known = self.source.known.get(content_key(self.source.manifest.id, name))
            if known is not None:
                yield Material(name, known.digest)

    def _lock_text(self) -> str:
        return without_credentials("".join(f"# {name}\n{text.rstrip()}\n" for name, text in self.locks.items() if text))
