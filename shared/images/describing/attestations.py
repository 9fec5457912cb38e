"""What is said about an image: what packages it holds, and how it came to be. Always the same bytes for the same input.

Source: CycloneDX 1.6; package-url, types oci, pypi and conda; in-toto Statement v1 with the SLSA provenance v1 predicate.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from json import loads
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid5

from shared.domain.manifests import Manifest
from shared.images.describing.artifacts import canonical
from shared.registries.references import Reference

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

SBOM_TYPE = "application/vnd.cyclonedx+json"
PROVENANCE_TYPE = "application/vnd.in-toto+json"
LOCK_TYPE = "application/vnd.slipway.lock.v1"
LOCK_MEDIA_TYPE = "text/plain"
"""Types of artifacts; the first two are media types as well."""
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:x-slipway:build:v1"
"""What the provenance's parameters mean: external ones are the manifest's and the image's, internal ones the settings'."""
_SERIAL_NUMBERS = UUID("6f1d2c53-0d0e-5b8a-9a55-6f1f0a4b9c11")
_CONDA_FILE = re.compile(
    r"(?:/t/[^/]+)?/(?P<channel>.+)/(?P<subdir>[^/]+)/[^/]+-(?P<build>[^-/]+)\.(?P<type>conda|tar\.bz2)"
)


class PackageKind(StrEnum):
    """Where a package comes from, as package-url calls it."""

    PYPI = "pypi"
    CONDA = "conda"


@dataclass(frozen=True)
class InstalledPackage:
    """A package in an image. `hashes` (`sha256:…`) are those of the files it may have come from; `url` is a conda file's."""

    kind: PackageKind
    name: str
    version: str
    hashes: tuple[str, ...] = ()
    url: str = ""


@dataclass(frozen=True)
class DescribedImage:
    """A published image: its name and version, where it can be pulled from, and the digest of its manifest."""

    name: str
    version: int
    location: str
    digest: str

    @property
    def repository(self) -> str:
        """The repository of a registry that it is in; empty when it is in a layout."""
        return "" if self.location.startswith("oci:") else self.location.rpartition(":")[0]


@dataclass(frozen=True)
class Material:
    """What went into an image: a model, an asset, a lock, a base. `uri` may be a signed URL: only its place is told."""

    name: str
    digest: str
    uri: str = ""


@dataclass(frozen=True)
class Build:
    """How an image came to be. `builder` is the URI of who built it, `slipway` the version of this app."""

    manifest: Manifest
    operation_id: str
    started: datetime
    platform: str
    python: str
    builder: str
    slipway: str


def sbom(image: DescribedImage, packages: Iterable[InstalledPackage], *, created: datetime, slipway: str) -> bytes:
    """The image's bill of materials, as CycloneDX JSON. Its serial number is made of what it says."""
    from cyclonedx.model.bom import Bom, BomMetaData  # noqa: PLC0415  # a cold start describes nothing
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415
    from cyclonedx.model.tool import ToolRepository  # noqa: PLC0415
    from cyclonedx.output.json import JsonV1Dot6  # noqa: PLC0415

    subject = _component(ComponentType.CONTAINER, image.name, str(image.version), _image_url(image), [image.digest])
    components = [
        _component(ComponentType.LIBRARY, package.name, package.version, _package_url(package), package.hashes)
        for package in _each_once(packages)
    ]
    tools = ToolRepository(components=[Component(type=ComponentType.APPLICATION, name="slipway", version=slipway)])
    metadata = BomMetaData(component=subject, tools=tools, timestamp=created.astimezone(UTC))
    bom = Bom(metadata=metadata, components=components, serial_number=_SERIAL_NUMBERS)
    bom.register_dependency(subject, components)
    said: dict[str, Any] = loads(JsonV1Dot6(bom).output_as_string())
    number = uuid5(_SERIAL_NUMBERS, sha256(canonical(said)).hexdigest())
    return canonical({**said, "serialNumber": number.urn})


def _component(kind: Any, name: str, version: str, url: "PackageURL", hashes: Iterable[str]) -> "Component":
    from cyclonedx.contrib.hash.factories import HashTypeFactory  # noqa: PLC0415
    from cyclonedx.model.component import Component  # noqa: PLC0415

    kept = [HashTypeFactory().from_composite_str(digest) for digest in hashes]
    return Component(type=kind, name=name, version=version, purl=url, bom_ref=str(url), hashes=kept)


def _each_once(packages: Iterable[InstalledPackage]) -> Iterable[InstalledPackage]:
    """Sorted by what names them: the scoring server and the driver may both bring the same."""
    return (package for _, package in sorted({str(_package_url(package)): package for package in packages}.items()))


def _package_url(package: InstalledPackage) -> "PackageURL":
    found = _CONDA_FILE.fullmatch(unquote(urlsplit(package.url).path)) if package.kind is PackageKind.CONDA else None
    return _url(package.kind, package.name, package.version, found.groupdict() if found else {})


def _image_url(image: DescribedImage) -> "PackageURL":
    where = {"repository_url": image.repository, "tag": image.location.rpartition(":")[2]} if image.repository else {}
    return _url("oci", image.name, image.digest, where)


def _url(kind: str, name: str, version: str, qualifiers: Mapping[str, str]) -> "PackageURL":
    from packageurl import PackageURL  # noqa: PLC0415  # as above

    return PackageURL(kind, None, name, version, dict(qualifiers))


def base_image(reference: str) -> Material:
    """A base image as a material, from `host/repository@sha256:…`; raises ValueError."""
    base = Reference.parse(reference)
    repository = f"{base.host}/{base.repository}"
    url = _url("oci", base.repository.rpartition("/")[2], base.selected, {"repository_url": repository})
    return Material("base image", base.selected, str(url))


def provenance(image: DescribedImage, build: Build, materials: Sequence[Material]) -> bytes:
    """How the image came to be, as an in-toto statement. It holds no signed URL."""
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": _external(image, build.manifest),
        "internalParameters": {"platform": build.platform, "python": build.python, "slipway": build.slipway},
        "resolvedDependencies": [_material(material) for material in materials],
    }
    details = {
        "builder": {"id": build.builder, "version": {"slipway": build.slipway}},
        "metadata": {"invocationId": build.operation_id, "startedOn": _time(build.started)},
    }
    return canonical(
        {
            "_type": STATEMENT,
            "subject": [{"name": image.repository or image.name, "digest": _digest(image.digest)}],
            "predicateType": PREDICATE,
            "predicate": {"buildDefinition": definition, "runDetails": details},
        }
    )


def _external(image: DescribedImage, manifest: Manifest) -> Mapping[str, Any]:
    """What callers have asked for; what they did not say is left out."""
    properties = manifest.target_runtime.properties
    said = {
        "pipRequirements": properties.pip_requirements and _place(properties.pip_requirements),
        "condaEnvFile": properties.conda_env_file and _place(properties.conda_env_file),
        "aptPackages": properties.apt_packages,
        "builder": properties.builder,
    }
    return {
        "image": {"name": image.name, "version": image.version},
        "manifest": {"id": manifest.id, "name": manifest.name, "version": manifest.version},
        "modelIds": list(manifest.model_ids),
        "runtimeType": manifest.target_runtime.runtime_type,
        **{name: value for name, value in said.items() if value},
    }


def _material(material: Material) -> Mapping[str, Any]:
    uri = material.uri if material.uri.startswith("pkg:") else _place(material.uri)
    return {"name": material.name, "digest": _digest(material.digest), **({"uri": uri} if uri else {})}


def _place(url: str) -> str:
    """The URL without what may be secret in it: user, query and fragment."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _digest(digest: str) -> Mapping[str, str]:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
