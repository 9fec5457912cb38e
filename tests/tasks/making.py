"""What builds of the tests are made of."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from shared.domain.accounts import Account
from shared.domain.building import (
    ChosenVersion,
    Content,
    ContentLayers,
    DependencyLayers,
    ImageSource,
    IsNamed,
    NotYet,
    PublishedImage,
    Resolved,
)
from shared.domain.images import Layer
from shared.domain.manifests import Asset, Manifest, RuntimeProperties, RuntimeType, TargetRuntime
from shared.domain.ports import BuildLog
from shared.domain.wire import Json
from tests.images.bases import digest_of, push_image, small_layer

BASE = "docker.io/library/python@sha256:" + "a1" * 32
OPERATION = "0199aaaa-0000-7000-8000-000000000001"
MANIFEST_ID = "01890000-0000-7000-8000-000000000009"
WANTED = {"apt_packages": "libgomp1, gcc", "pip_requirements": "https://host/requirements.txt?sig=x"}
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
LAYER = Layer(media_type="x", digest="sha256:" + "d4" * 32, size=1, diff_id="sha256:" + "e5" * 32, title="scoring server")


async def nobody() -> bool:
    """No record names the image besides."""
    return False


class Log:
    """A build log in memory."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


class Inner:
    """The builder that assembles: tells what it was asked."""

    def __init__(self, base: str = BASE) -> None:
        self.base = base
        self.asked: list[tuple[str, ImageSource]] = []
        self.unpublished: list[Sequence[Layer]] = []

    async def resolve(self, source: ImageSource, log: BuildLog) -> Resolved:
        self.asked.append(("resolve", source))
        return Resolved(self.base, {"x": Content("sha256:x")})

    async def dependency_layers(self, source: ImageSource, log: BuildLog) -> DependencyLayers | NotYet:
        self.asked.append(("dependency_layers", source))
        return DependencyLayers((LAYER,), source.base, {"y": Content("sha256:y")})

    async def content_layers(self, source: ImageSource, log: BuildLog) -> ContentLayers:
        self.asked.append(("content_layers", source))
        return ContentLayers((LAYER,), {})

    async def choose_version(self, source: ImageSource, layers: Sequence[Layer], latest: int) -> ChosenVersion:
        self.asked.append(("choose_version", source))
        return ChosenVersion(source.version, is_free=True)

    async def publish(self, source: ImageSource, layers: Sequence[Layer], log: BuildLog) -> PublishedImage:
        self.asked.append(("publish", source))
        return PublishedImage(f"over {source.base}", LAYER.digest)

    async def ensure_unpublished(
        self, source: ImageSource, layers: Sequence[Layer], log: BuildLog, is_named: IsNamed
    ) -> None:
        self.asked.append(("ensure_unpublished", source))
        self.unpublished.append(layers)

    @property
    def calls(self) -> list[str]:
        return [name for name, _ in self.asked]


def source(
    *,
    known: Mapping[str, Content] | None = None,
    manifest_id: str = MANIFEST_ID,
    base: str = BASE,
    left: Mapping[str, Json] | None = None,
    **properties: Any,
) -> ImageSource:
    manifest = Manifest(
        id=manifest_id,
        name="digits",
        version=3,
        driver_program="driver",
        assets=(Asset(id="driver", url="https://host/driver.py"),),
        target_runtime=TargetRuntime(runtime_type=RuntimeType.PYTHON, properties=RuntimeProperties(**properties)),
        created_time=datetime(2026, 1, 1, tzinfo=UTC),
    )
    account = Account("Sub", "Group #1", "local")
    given = {"base": base, "known": known or {}, "left": left or {}}
    return ImageSource(account, "digits", 1, manifest, (), operation_id=OPERATION, **given)


def push(host: str, repository: str, tag: str) -> str:
    """Push an image under that tag; its digest."""
    manifest = push_image(host, repository, "linux/amd64", (small_layer(),))
    url = f"http://{host}/v2/{repository}/manifests/{tag}"
    assert httpx.put(url, content=manifest, headers={"Content-Type": MANIFEST_TYPE}).status_code == 201
    return digest_of(manifest)
