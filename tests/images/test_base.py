"""Base images: whether they are for the platform, and what becomes of the other layers when one cannot be had."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from local.machine import this_platform
from shared.domain.errors import BuildFailed
from shared.domain.manifests import RuntimeType
from shared.registries.registries import Registries
from tests.images.bases import CONFIG, LAYER, MANIFEST
from tests.images.making import Log, built, make_builder, no_identity, source
from tests.registries.habits import serving


class OneImage:
    """A registry that has one image and no index of it; its first layer is refused, and its second one does not end."""

    def __init__(self, platform: str) -> None:
        system, _, architecture = platform.partition("/")
        digests = [f"sha256:{number * 64}" for number in "12"]
        rootfs = {"type": "layers", "diff_ids": digests}
        self._config = json.dumps({"os": system, "architecture": architecture, "rootfs": rootfs}).encode()
        layers = [{"mediaType": LAYER, "digest": digest, "size": 1} for digest in digests]
        config = {"mediaType": CONFIG, "digest": _digest_of(self._config), "size": len(self._config)}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        self._manifest = json.dumps(manifest).encode()
        self.coming, self.ended = asyncio.Event(), asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "/manifests/" in request.path:
            headers = {"Docker-Content-Digest": _digest_of(self._manifest), "Content-Type": MANIFEST}
            return web.Response(body=self._manifest, headers=headers)
        if request.path.endswith(_digest_of(self._config)):
            return web.Response(body=self._config)
        if request.path.endswith("1" * 64):
            await self.coming.wait()
            return web.Response(status=403)
        return await self._endless(request)

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        self.coming.set()
        try:
            while True:
                await response.write(bytes(100_000))
        finally:
            self.ended.set()


def _digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
async def registries() -> AsyncIterator[Registries]:
    registries = Registries({}, no_identity)
    yield registries
    await registries.close()


def builder_on(host: str, registries: Registries, *given: Any) -> Any:
    return make_builder(*given, registries, bases={RuntimeType.PYTHON: f"{host}/base:1"})


async def test_when_one_layer_cannot_be_had_no_other_comes_any_more(tmp_path, sources, package_cache, registries):
    base = OneImage(this_platform())
    async with serving(base.answer) as host:
        with pytest.raises(BuildFailed, match="does not permit it"):
            await built(builder_on(host, registries, tmp_path, sources, package_cache), source(sources))
        async with asyncio.timeout(10):
            await base.ended.wait()


async def test_an_image_of_another_platform_is_refused_though_no_index_says_so(tmp_path, sources, package_cache, registries):
    async with serving(OneImage("linux/s390x").answer) as host:
        with pytest.raises(BuildFailed, match=f"is there for linux/s390x, not for {this_platform()}") as refused:
            await built(builder_on(host, registries, tmp_path, sources, package_cache), source(sources))
    assert refused.value.code == "BaseImageNotFound"


async def test_a_manifest_whose_first_image_had_no_base_gets_one_for_a_registry(
    tmp_path, sources, package_cache, registries
):
    image = source(sources)
    first = await make_builder(tmp_path / "first", sources, package_cache).resolve(image, Log())
    again = replace(image, known=first.contents)
    with pytest.raises(BuildFailed, match="linux/s390x"):
        async with serving(OneImage("linux/s390x").answer) as host:
            await builder_on(host, registries, tmp_path, sources, package_cache).resolve(again, Log())
    spark = make_builder(
        tmp_path / "spark", sources, package_cache, bases={RuntimeType.SPARK_PYTHON: "registry.example/spark:4"}
    )
    with pytest.raises(BuildFailed, match="no base image is set for it: SLIPWAY_BASE_IMAGE_PYTHON is to name one"):
        await spark.resolve(again, Log())


async def test_a_base_that_was_decided_on_stays_whatever_the_settings_name_today(
    tmp_path, sources, package_cache, registries
):
    image = source(sources)
    async with serving(OneImage(this_platform()).answer) as host:
        first = await builder_on(host, registries, tmp_path, sources, package_cache).resolve(image, Log())
    elsewhere = make_builder(
        tmp_path / "elsewhere", sources, package_cache, bases={RuntimeType.PYTHON: "registry.example/python:3.13"}
    )
    assert (await elsewhere.resolve(replace(image, known=first.contents), Log())).base == first.base != ""
