"""What a registry says of a base image is foreign input: it is read for what it is, or refused for what it is."""

import json
from typing import Any

import pytest

from shared.domain.errors import BuildFailed
from shared.images.base import BaseImages
from shared.registries.registries import Registries
from tests.images.making import no_identity
from tests.registries.habits import Habits, HabitualRegistry, digest_of, habitual

NAME = "base/python"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:" + "1" * 64, "size": 7}
CONFIG = {
    "os": "linux",
    "architecture": "amd64",
    "config": {"Env": ["A=b"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "2" * 64]},
}


class Pushed:
    """A registry to which anything can be pushed, as a base image."""

    def __init__(self, registry: HabitualRegistry) -> None:
        registry.manifests[NAME], registry.tags[NAME], registry.blobs[NAME] = {}, {}, {}
        self._registry = registry

    def image(self, config: Any = CONFIG, **changes: Any) -> str:
        content = json.dumps(config).encode()
        self._registry.blobs[NAME][digest_of(content)] = content
        described = {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest_of(content),
            "size": len(content),
        }
        return self.manifest({"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": [LAYER], **changes})

    def index(self, *entries: Any, **changes: Any) -> str:
        return self.manifest({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, **changes}, INDEX)

    def manifest(self, content: Any, kind: str = MANIFEST) -> str:
        """The last one that is pushed has the tag."""
        packed = content if isinstance(content, bytes) else json.dumps(content).encode()
        self._registry.manifests[NAME][digest_of(packed)] = (packed, kind)
        self._registry.tags[NAME]["1"] = digest_of(packed)
        return digest_of(packed)


def entry(digest: Any, *platform: str, **changes: Any) -> dict[str, Any]:
    named = dict(zip(("os", "architecture", "variant"), platform, strict=False))
    return {"mediaType": MANIFEST, "digest": digest, "size": 7, "platform": named, **changes}


async def pinned(push: Any, platform: str = "linux/amd64", habits: Habits | None = None) -> tuple[Any, str]:
    """What `push` gives back, and the digest of the image that is found then."""
    async with habitual(habits) as (registry, host):
        given = push(Pushed(registry))
        registries = Registries({}, no_identity)
        try:
            found = await BaseImages(registries, platform).pin(f"{host}/{NAME}:1")
        finally:
            await registries.close()
        return given, found.partition("@")[2]


def in_index(*platforms: tuple[str, ...]) -> Any:
    def push(pushed: Pushed) -> dict[tuple[str, ...], str]:
        images = {one: pushed.image({**CONFIG, "os": one[0], "architecture": one[1], "x": one}) for one in platforms}
        pushed.index(*(entry(images[one], *one) for one in platforms))
        return images

    return push


@pytest.mark.parametrize("called", ["{}; charset=utf-8", "application/json", "application/octet-stream", "text/plain"])
@pytest.mark.parametrize("listed", [INDEX, DOCKER_LIST, None])
async def test_an_index_is_known_by_its_body(called, listed):
    def push(pushed: Pushed) -> str:
        image = pushed.image()
        pushed.index(entry(image, "linux", "amd64"), mediaType=listed)
        return image

    image, found = await pinned(push, habits=Habits(content_type=called.format, digest_header=False, chunked=True))
    assert found == image


@pytest.mark.parametrize(
    ("platform", "offered", "best"),
    [
        ("linux/amd64", [("linux", "amd64"), ("linux", "amd64", "v3")], ("linux", "amd64")),
        ("linux/amd64", [("linux", "amd64", "v3"), ("linux", "amd64", "v2")], ("linux", "amd64", "v2")),
        ("linux/amd64/v3", [("linux", "amd64"), ("linux", "amd64", "v3")], ("linux", "amd64", "v3")),
        ("linux/arm64/v8", [("linux", "arm64", "v8"), ("linux", "amd64")], ("linux", "arm64", "v8")),
    ],
)
async def test_of_several_entries_the_one_is_taken_that_runs_wherever_it_must(platform, offered, best):
    images, found = await pinned(in_index(*offered), platform)
    assert found == images[best]


async def test_entries_that_are_no_images_are_passed_over():
    def push(pushed: Pushed) -> str:
        image = pushed.image()
        strange = [None, 7, {}, entry(image, "unknown", "unknown"), {**entry(image), "platform": None}]
        pushed.index(*strange, entry(image, "linux", "amd64"))
        return image

    image, found = await pinned(push)
    assert found == image


@pytest.mark.parametrize("docker", [DOCKER, None])
async def test_a_manifest_without_an_index_is_an_image(docker):
    image, found = await pinned(lambda pushed: pushed.image(mediaType=docker))
    assert found == image


REFUSED = {
    "schema 1": (lambda pushed: pushed.manifest({"schemaVersion": 1, "fsLayers": [], "history": []}), "schema 1"),
    "nested": (lambda pushed: pushed.index(entry(pushed.index(), "linux", "amd64")), "an index within an index"),
    "no config": (lambda pushed: pushed.image(config=None), "whose config|names no platform"),
    "null config": (lambda pushed: pushed.manifest({"schemaVersion": 2, "config": None, "layers": []}), "without a config"),
    "text config": (lambda pushed: pushed.manifest({"schemaVersion": 2, "config": "x", "layers": []}), "without a config"),
    "odd digest": (lambda pushed: pushed.manifest({"config": {"digest": "../x"}, "layers": []}), "without a config"),
    "no JSON": (lambda pushed: pushed.manifest(b"<html>"), "no JSON object"),
    "deep JSON": (lambda pushed: pushed.manifest(b"[" * 100_000), "no JSON object"),
    "half a character": (
        lambda pushed: pushed.index({**entry(pushed.image(), "linux", "amd64"), "x": "\ud83d"}),
        "no platform|no JSON",
    ),
    "half a character in a config": (
        lambda pushed: pushed.image({**CONFIG, "config": {"Env": ["A=\ud83d"]}}),
        "no platform",
    ),
    "a list": (lambda pushed: pushed.manifest([]), "no JSON object"),
    "null platforms": (lambda pushed: pushed.index({**entry(pushed.image()), "platform": None}), "names no platforms"),
    "null manifests": (lambda pushed: pushed.index(manifests=None), "names no platforms"),
    "no digest": (lambda pushed: pushed.index(entry(None, "linux", "amd64")), "has no digest"),
    "no rootfs": (lambda pushed: pushed.image({**CONFIG, "rootfs": None}), "lists no layers"),
    "no diffs": (lambda pushed: pushed.image({**CONFIG, "rootfs": {"diff_ids": None}}), "lists no layers"),
    "odd diffs": (lambda pushed: pushed.image({**CONFIG, "rootfs": {"diff_ids": [7]}}), "lists no layers"),
    "no platform": (lambda pushed: pushed.image({**CONFIG, "os": None}), "names no platform"),
    "null layers": (lambda pushed: pushed.image(layers=None), "0 layers, whose config names 1"),
    "odd layers": (lambda pushed: pushed.image(layers=[None]), "0 layers, whose config names 1"),
    "null size": (lambda pushed: pushed.image(layers=[{**LAYER, "size": None}]), "no type, digest or size"),
    "null type": (lambda pushed: pushed.image(layers=[{**LAYER, "mediaType": None}]), "no type, digest or size"),
    "odd layer digest": (
        lambda pushed: pushed.image(layers=[{**LAYER, "digest": "sha256:/../x"}]),
        "no type, digest or size",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_no_image_is_refused_for_what_it_is(case):
    push, said = REFUSED[case]
    with pytest.raises(BuildFailed, match=said) as refused:
        await pinned(push)
    assert (refused.value.code, refused.value.retryable) == ("BaseImageNotUsable", False)
    assert f"{NAME}" in refused.value.message


@pytest.mark.parametrize("environment", [None, "A=b", [None, 7], {"A": "b"}])
async def test_an_environment_of_another_kind_is_none(environment):
    image, found = await pinned(lambda pushed: pushed.image({**CONFIG, "config": {"Env": environment}}))
    assert found == image


async def test_an_index_without_the_platform_names_those_that_it_has():
    with pytest.raises(BuildFailed, match=r"there for linux/s390x, linux/amd64/v4, not for linux/amd64/v3") as refused:
        await pinned(in_index(("linux", "s390x"), ("linux", "amd64", "v4")), "linux/amd64/v3")
    assert refused.value.code == "BaseImageNotFound"


async def test_the_platforms_of_an_index_are_told_without_what_they_should_not_hold():
    with pytest.raises(BuildFailed) as refused:
        await pinned(in_index(("linux", "s390x"), ("plan9\n\x1b[31m", "https://u:SECRET@a/b"), ("x" * 9000, "arm")))
    assert "linux/s390x" in refused.value.message
    assert len(refused.value.message) < 1000
    assert not any(text in refused.value.message for text in ("SECRET", "\n", "\x1b"))
