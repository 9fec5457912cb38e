"""The image builder: decides, fetches, packs and publishes over a base image, to a registry or a layout. No daemon."""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice
from pathlib import Path

from shared.domain.accounts import Account
from shared.domain.building import (
    TAG_TAKEN,
    ChosenVersion,
    Content,
    ContentLayers,
    DependencyLayers,
    ImageSource,
    IsNamed,
    PublishedImage,
    Resolved,
    content_key,
)
from shared.domain.errors import BuildFailed, Unavailable
from shared.domain.images import Layer
from shared.domain.manifests import RuntimeType
from shared.domain.ports import BuildLog
from shared.images.base import BaseImages
from shared.images.content.one_folder import OneFolder, Source, assets, driver_source, models
from shared.images.content.source_layers import SourceLayer, SourceLayers
from shared.images.describing.statements import Statements
from shared.images.drivers.checking import DriverCheck
from shared.images.image_config import MODEL_CONFIG_MAP, image_config, image_manifest, model_config_map
from shared.images.layouts.collector import layout_folder
from shared.images.layouts.layout import ImageLayout
from shared.images.packages.dependencies import CONDA_LOCK, Dependencies
from shared.images.packing.assembly import Assembly, Made, size_text
from shared.images.packing.cache import LayerCache, layer_key
from shared.images.packing.compression import Compression
from shared.images.packing.layers import APP, SERVICE_USER, bytes_entry
from shared.images.packing.pipes import all_of
from shared.images.targets import LayoutTarget, RegistryTarget, Target
from shared.registries.manifests import digest_of
from shared.registries.references import Reference
from shared.registries.registries import Registries

_BASE = "base"
_MOST_LAYERS = 120
"""A few less than container runtimes take."""
_AT_ONCE = 4
_MOST_LOOKS = 50


@dataclass(frozen=True)
class BuilderSettings:
    """Where images go, what they stand on and are for, and how their layers are compressed."""

    platform: str
    images: Path | None = None
    """The folder of the OCI layouts, where images do not go to a registry."""
    registry: str = ""
    """The registry that images go to, and what their repositories' names begin with: `host/prefix`."""
    bases: Mapping[RuntimeType, str] = field(default_factory=dict)
    compression: Compression = Compression.GZIP


class LayeringImageBuilder:
    """Puts images together layer by layer. Blocking work runs in threads; equal work is found in the cache."""

    def __init__(
        self,
        settings: BuilderSettings,
        registries: Registries,
        cache: LayerCache,
        dependencies: Dependencies,
        source_layers: SourceLayers,
        *,
        driver_check: DriverCheck,
    ) -> None:
        self._settings = settings
        self._registries = registries
        self._bases = BaseImages(registries, settings.platform)
        self._cache = cache
        self._dependencies = dependencies
        self._source_layers = source_layers
        self._driver_check = driver_check

    async def resolve(self, source: ImageSource, log: BuildLog) -> Resolved:
        """What the settings name as the base, by the digest of its first build, and the locks of its packages."""
        log.line(f"building {source.name} version {source.version} for {self._settings.platform}")
        _refuse_what_cannot_be_built(source)
        await self._driver_check.check(source, log)
        base = await self._base(source, log)
        key = content_key(source.manifest.id, _BASE)
        decided = {} if key in source.known else {key: Content(base)}
        return Resolved(base, {**decided, **await self._dependencies.resolve(source, log)})

    async def dependency_layers(self, source: ImageSource, log: BuildLog) -> DependencyLayers:
        """The base image's layers, the scoring server, and the packages that were decided on."""
        assembly = self._assembly(source, log)
        below = await self._base_layers(source, assembly)
        many = len(source.models) + len(source.manifest.assets) + len(below)
        made = await self._dependencies.layers(source, assembly, most=max(1, _MOST_LAYERS - many - 4))
        return DependencyLayers((*below, *made), source.base)

    async def content_layers(self, source: ImageSource, log: BuildLog) -> ContentLayers:
        """The assets, the models and last the driver, one layer each, in the one folder.

        What changes most often comes last, so that the layers below it stay what they were.
        """
        assembly, turn = self._assembly(source, log), asyncio.Semaphore(_AT_ONCE)

        async def layer(one: Source) -> SourceLayer:
            async with turn:
                return await self._source_layers.layer(one, source.known.get(one.key), assembly)

        ordered = [*assets(source), *models(source), driver_source(source)]
        made = await all_of(layer(one) for one in ordered)
        mapped = await self._map_layer(source, assembly)
        _refuse_same_names(
            [("Slipway itself", mapped), *((one.name, got.made) for one, got in zip(ordered, made, strict=True))]
        )
        layers = [layer for got in made for layer in got.made.layers]
        contents = {one.key: got.content for one, got in zip(ordered, made, strict=True)}
        return ContentLayers((*layers[:-1], *mapped.layers, layers[-1]), contents)

    async def choose_version(self, source: ImageSource, layers: Sequence[Layer], latest: int) -> ChosenVersion:
        """The source's own version, when its tag is free or names this very image; else the first free one after `latest`.

        A list of tags may be old or cut short: each version is looked at before it is chosen.
        """
        _, manifest = await self._described(source, layers)
        named = await self._target(source).named()
        if named in ("", digest_of(manifest)):
            return ChosenVersion(source.version, is_free=not named)
        taken = await self._target(source).versions()
        for version in islice((one for one in count(latest + 1) if one not in taken), _MOST_LOOKS):
            if not await self._target(replace(source, version=version)).named():
                return ChosenVersion(version, is_free=True)
        message = f"The tags of {source.name} name other images, and {_MOST_LOOKS} after version {latest} do, too."
        raise BuildFailed(message, code=TAG_TAKEN)

    async def publish(self, source: ImageSource, layers: Sequence[Layer], log: BuildLog) -> PublishedImage:
        """Config and manifest over those layers, under a tag that never moves; beside it, what is said about the image."""
        target = self._target(source)
        config, manifest = await self._described(source, layers)
        await all_of([_check_there(target, layers), _put(target, config), self._attach(source, target, manifest)])
        published = await target.put_manifest(manifest)
        size = sum(layer.size for layer in layers)
        log.line(f"pushed {published.location}, {published.digest}, {len(layers)} layers, {size_text(size)}")
        return published

    async def ensure_unpublished(
        self, source: ImageSource, layers: Sequence[Layer], log: BuildLog, is_named: IsNamed
    ) -> None:
        """The tag of that image does not name it, and nothing is said about it, unless it is named otherwise."""
        if layers:
            _, manifest = await self._described(source, layers)
            await self._target(source).remove_tag(digest_of(manifest), is_named)

    async def _base(self, source: ImageSource, log: BuildLog) -> str:
        known = source.known.get(content_key(source.manifest.id, _BASE), Content("")).digest
        runtime = source.manifest.target_runtime.runtime_type
        named = self._settings.bases.get(runtime, "")
        if not known and not named and self._settings.bases:
            setting = f"SLIPWAY_BASE_IMAGE_{runtime.upper()}"
            message = f"targetRuntime.runtimeType: got {runtime}; no base image is set for it: {setting} is to name one."
            raise BuildFailed(message, code="RuntimeNotSupported")
        # A manifest that was first built for a folder has none; its image for a registry must have one all the same.
        base = known or (await self._bases.pin(named) if named else "")
        if base:
            log.line(
                f"base image {base}{', as in the first image of this manifest' if known else f', which {named} is today'}"
            )
        return base

    async def _base_layers(self, source: ImageSource, assembly: Assembly) -> tuple[Layer, ...]:
        if not source.base:
            return ()
        base = await self._bases.read(source.base)
        came = await all_of(assembly.target.take_over(layer.digest, base.repository) for layer in base.layers)
        how = ", ".join(f"{count} {how}" for how, count in sorted(Counter(came).items()))
        size = size_text(sum(layer.size for layer in base.layers))
        assembly.log.line(f"base image: {len(base.layers)} layers, {size}: {how}")
        return base.layers

    async def _map_layer(self, source: ImageSource, assembly: Assembly) -> Made:
        content = model_config_map(source)
        key = layer_key("map", assembly.format, content.decode())
        entries = [bytes_entry(f"{APP}/{MODEL_CONFIG_MAP}", content, owner=SERVICE_USER)]
        return await assembly.found(key) or await assembly.made(key, MODEL_CONFIG_MAP, lambda: entries)

    async def _attach(self, source: ImageSource, target: Target, manifest: bytes) -> None:
        """What is said about the image, before the tag is: who finds the one finds the other."""
        digest = digest_of(manifest)
        statements = Statements(
            source,
            self._settings.platform,
            self._dependencies.python,
            await self._dependencies.locks(source),
            self._dependencies.runtime_lock,
        )
        made = await target.attached(digest)
        await target.attach(list(statements.artifacts(manifest, target.location, digest, made)))

    async def _described(self, source: ImageSource, layers: Sequence[Layer]) -> tuple[bytes, bytes]:
        """Its config and its manifest."""
        inherited = (await self._bases.read(source.base)).environment if source.base else ()
        driver = driver_source(source)
        config = image_config(
            source,
            layers,
            platform=self._settings.platform,
            driver=driver.file_name,
            inherited=inherited,
            conda=bool(await self._dependencies.lock(source, CONDA_LOCK)),
        )
        return config, image_manifest(source, layers, config, revision=source.known[driver.key].digest)

    def _assembly(self, source: ImageSource, log: BuildLog) -> Assembly:
        return Assembly(self._target(source), self._cache, log, self._settings.compression, no_cache=source.no_cache)

    def _target(self, source: ImageSource) -> Target:
        if self._settings.registry:
            name = f"{self._settings.registry}/{_account_name(source.account)}/{source.name}"
            reference = Reference.parse(f"{name}:{source.version}")
            return RegistryTarget(self._registries.repository(reference), reference.selected)
        if self._settings.images is None:
            raise ValueError("Neither a registry nor a folder for images is set.")
        layout = ImageLayout(layout_folder(self._settings.images, source.account.scope))
        return LayoutTarget(layout, f"{source.name}:{source.version}")


async def _put(target: Target, content: bytes) -> None:
    await target.put_bytes(content)


async def _check_there(target: Target, layers: Sequence[Layer]) -> None:
    there = await asyncio.gather(*(target.has_blob(layer.digest) for layer in layers))
    missing = [layer.title for layer, is_there in zip(layers, there, strict=True) if not is_there]
    if missing:
        raise Unavailable(f"The layers {', '.join(missing)} are not where the image goes.", code="LayerMissing")


def _refuse_what_cannot_be_built(source: ImageSource) -> None:
    if source.manifest.driver.unpack:
        message = "driverProgram: the driver must be a Python file, that is not to be unpacked."
        raise BuildFailed(message, code="BadDriver")
    for one in (*assets(source), *models(source), driver_source(source)):
        if not one.unpack:
            one.refuse_without_name()


def _refuse_same_names(brought: Iterable[tuple[str, Made]]) -> None:
    folder = OneFolder()
    for name, made in brought:
        folder.take(name, (path.removeprefix(f"{APP}/") for path in made.paths))


def _account_name(account: Account) -> str:
    """The account's part of a repository's name: its own name for people, and a few digits that are its alone."""
    readable = re.sub(r"[^a-z0-9]+", "-", account.name.lower()).strip("-")[:40]
    return f"{readable or 'account'}-{hashlib.sha256(account.scope.encode()).hexdigest()[:8]}"
