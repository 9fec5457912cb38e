"""The image builder: fetches, packs and publishes over a base image, one layer a source, to a registry or a layout."""

import asyncio
import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from shared.domain.accounts import Account
from shared.domain.errors import BuildFailed, Unavailable, foreign
from shared.domain.images import Layer
from shared.domain.manifests import RuntimeType
from shared.domain.ports import BuildLog, ContentLayers, ImageSource, PublishedImage
from shared.images.archives import Limits, members, safe_path
from shared.images.base import BaseImages
from shared.images.cache import CachedLayer, LayerCache
from shared.images.fetch import Fetched, Fetcher
from shared.images.image_config import (
    DEPENDENCIES,
    MODEL_CONFIG_MAP,
    RUNTIME,
    image_config,
    image_manifest,
    model_config_map,
)
from shared.images.installed import installed_entries
from shared.images.layers import APP, FORMAT, SERVICE_USER, Entry, bytes_entry, file_entry, write_layer
from shared.images.layout import ImageLayout
from shared.images.one_folder import OneFolder, Source, driver_source, sources
from shared.images.packages import INSTALLER, PackageInstaller, pinned
from shared.images.requirements import parse_requirements
from shared.images.targets import LayoutTarget, RegistryTarget, Target
from shared.registries.references import Reference
from shared.registries.registries import Registries

_LARGEST_REQUIREMENTS = 1024 * 1024


@dataclass(frozen=True)
class BuilderSettings:
    """Where images and cached layers are kept, what they are for, what may be fetched, and what of it is too much."""

    cache: Path
    runtime: Path
    platform: str
    python: str
    images: Path | None = None
    """The folder of the OCI layouts, where images do not go to a registry."""
    registry: str = ""
    """The registry that images go to, and what their repositories' names begin with: `host/prefix`."""
    bases: Mapping[RuntimeType, str] = field(default_factory=dict)
    fetch_allow: tuple[str, ...] = ()
    most_fetched_bytes: int = 16 * 1024**3
    archives: Limits = field(default_factory=Limits)


class LayeringImageBuilder:
    """Puts images together layer by layer. Blocking work runs in threads; equal work is found in the cache."""

    def __init__(self, settings: BuilderSettings, registries: Registries) -> None:
        self._settings = settings
        self._registries = registries
        self._bases = BaseImages(registries, settings.platform)
        self._cache = LayerCache(settings.cache)
        self._fetcher = Fetcher(allow=settings.fetch_allow, most_bytes=settings.most_fetched_bytes)
        self._installer = PackageInstaller(settings.platform, settings.python, self._cache.packages)

    async def base(self, source: ImageSource, log: BuildLog) -> str:
        """What the settings name for the manifest's runtime, by the digest of today; empty when they name nothing."""
        runtime = source.manifest.target_runtime.runtime_type
        named = self._settings.bases.get(runtime, "")
        if not named:
            return ""
        pinned = await self._bases.pin(named)
        log.line(f"base image {named}: {pinned}")
        return pinned

    async def dependency_layers(self, source: ImageSource, log: BuildLog) -> tuple[Layer, ...]:
        """The base image's layers, the scoring server, and the installed requirements."""
        properties = source.manifest.target_runtime.properties
        _refuse_what_cannot_be_built(source)
        log.line(
            f"building {source.name} version {source.version} for {self._settings.platform}, Python {self._settings.python}"
        )
        below = await self._base_layers(source, log)
        cached = [await asyncio.to_thread(self._runtime_layer, source, log)]
        if properties.pip_requirements:
            requirements = await self._requirements(properties.pip_requirements, log)
            if requirements:
                cached.append(await asyncio.to_thread(self._requirements_layer, source, requirements, log))
        return (*below, *await self._put(source, cached, log))

    async def content_layers(self, source: ImageSource, log: BuildLog) -> ContentLayers:
        """The models, the assets and last the driver, one layer each, in the one folder."""
        folder = OneFolder()
        digests: dict[str, str] = {}
        cached = [await asyncio.to_thread(self._map_layer, source)]
        folder.take("Slipway itself", _in_folder(cached[0].paths))
        for one in sources(source):
            with self._cache.workspace() as space:
                fetched = await self._fetch(one.name, one.url, space, log)
                _refuse_other_content(one, fetched, source.known.get(one.key))
                layer = await asyncio.to_thread(self._packed, source, one, fetched, space, log)
            digests[one.key] = fetched.digest
            folder.take(one.name, _in_folder(layer.paths))
            cached.append(layer)
        return ContentLayers(await self._put(source, cached, log), digests)

    async def publish(self, source: ImageSource, layers: Sequence[Layer], log: BuildLog) -> PublishedImage:
        """Config and manifest over those layers, under a tag that never moves."""
        target = self._target(source)
        there = await asyncio.gather(*(target.has_blob(layer.digest) for layer in layers))
        missing = [layer.title for layer, is_there in zip(layers, there, strict=True) if not is_there]
        if missing:
            raise Unavailable(f"The layers {', '.join(missing)} are not where the image goes.", code="LayerMissing")
        inherited = (await self._bases.read(source.base)).environment if source.base else ()
        config = image_config(source, layers, self._settings.platform, driver_source(source).file_name, inherited)
        digest = await target.put_bytes(config)
        manifest = image_manifest(source, layers, config_digest=digest, config_size=len(config))
        published = await target.put_manifest(manifest)
        size = sum(layer.size for layer in layers)
        log.line(f"pushed {published.location}, {published.digest}, {len(layers)} layers, {_bytes(size)}")
        return published

    async def ensure_unpublished(self, source: ImageSource, log: BuildLog) -> None:
        """Nothing has the tag of that image."""
        await self._target(source).remove_tag()

    async def _base_layers(self, source: ImageSource, log: BuildLog) -> tuple[Layer, ...]:
        if not source.base:
            return ()
        base, target = await self._bases.read(source.base), self._target(source)
        came = await asyncio.gather(*(target.take_over(layer.digest, base.repository) for layer in base.layers))
        how = ", ".join(f"{count} {how}" for how, count in sorted(Counter(came).items()))
        log.line(f"base image: {len(base.layers)} layers, {_bytes(sum(layer.size for layer in base.layers))}: {how}")
        return base.layers

    async def _put(self, source: ImageSource, cached: Sequence[CachedLayer], log: BuildLog) -> tuple[Layer, ...]:
        target = self._target(source)
        sent = await asyncio.gather(*(target.put_file(one.layer.digest, one.blob) for one in cached))
        size = sum(one.layer.size for one, was_sent in zip(cached, sent, strict=True) if was_sent)
        log.line(f"sent {sum(sent)} of {len(cached)} layers, {_bytes(size)}; the others were there")
        return tuple(one.layer for one in cached)

    async def _requirements(self, url: str, log: BuildLog) -> tuple[str, ...]:
        with self._cache.workspace() as folder:
            fetched = await self._fetch("the requirements file", url, folder, log)
            if fetched.size > _LARGEST_REQUIREMENTS:
                raise BuildFailed("The requirements file is larger than 1 MiB.", code="BadRequirements")
            return parse_requirements(fetched.path.read_bytes())

    async def _fetch(self, name: str, url: str, folder: Path, log: BuildLog) -> Fetched:
        fetched = await self._fetcher.fetch(url, folder / "fetched")
        log.line(f"fetched {name} from {foreign(url)}: {_bytes(fetched.size)} in {fetched.seconds:.2f} s")
        return fetched

    def _requirements_layer(self, source: ImageSource, requirements: tuple[str, ...], log: BuildLog) -> CachedLayer:
        began = time.monotonic()
        key = self._cache.key("lock", INSTALLER, self._settings.platform, self._settings.python, *requirements)
        lock = None if source.no_cache else self._cache.lock(key)
        if lock is None:
            lock = self._installer.lock(requirements)
            self._cache.keep_lock(key, lock)
            log.line(f"resolved {len(requirements)} requirements in {time.monotonic() - began:.2f} s")
        log.line(f"dependencies: {' '.join(pinned(lock))}")
        return self._installed_layer(source, log, title="dependencies", lock=lock, under=DEPENDENCIES)

    def _runtime_layer(self, source: ImageSource, log: BuildLog) -> CachedLayer:
        runtime = self._settings.runtime
        lock = (runtime / "requirements.txt").read_text()
        code = [
            file_entry(f"{RUNTIME}/{file.relative_to(runtime).as_posix()}", file) for file in sorted(runtime.rglob("*.py"))
        ]
        return self._installed_layer(source, log, title="scoring server", lock=lock, under=f"{RUNTIME}/lib", more=code)

    def _installed_layer(
        self, source: ImageSource, log: BuildLog, *, title: str, lock: str, under: str, more: Sequence[Entry] = ()
    ) -> CachedLayer:
        began = time.monotonic()
        contents = [f"{entry.path}={entry.content.read().decode()}" for entry in more if entry.content]
        key = self._cache.key(
            "installed", FORMAT, INSTALLER, self._settings.platform, self._settings.python, under, lock, *contents
        )
        cached = self._kept(source, key, title)
        if cached is None:
            with self._cache.workspace() as folder:
                tree = folder / "tree"
                tree.mkdir()
                self._installer.install(lock, tree)
                entries = [*more, *installed_entries(tree, under)]
                cached = self._written(source, key, title, entries, folder)
        _tell(log, cached, "installed", time.monotonic() - began)
        return cached

    def _map_layer(self, source: ImageSource) -> CachedLayer:
        content = model_config_map(source)
        key = self._cache.key("map", FORMAT, content.decode())
        entries = [bytes_entry(f"{APP}/{MODEL_CONFIG_MAP}", content, owner=SERVICE_USER)]
        with self._cache.workspace() as folder:
            kept = self._kept(source, key, MODEL_CONFIG_MAP)
            return kept or self._written(source, key, MODEL_CONFIG_MAP, entries, folder)

    def _packed(self, source: ImageSource, one: Source, fetched: Fetched, folder: Path, log: BuildLog) -> CachedLayer:
        began = time.monotonic()
        how = "unpacked" if one.unpack else f"as {one.file_name}"
        key = self._cache.key("source", FORMAT, fetched.digest, how)
        cached = self._kept(source, key, one.name)
        if cached is None:
            cached = self._written(source, key, one.name, self._entries(one, fetched.path), folder)
        _tell(log, cached, how, time.monotonic() - began)
        return cached

    def _entries(self, one: Source, file: Path) -> Iterator[Entry]:
        limits = self._settings.archives
        if not one.unpack:
            yield file_entry(f"{APP}/{safe_path(one.file_name, one.name, limits)}", file, owner=SERVICE_USER)
            return
        folder = OneFolder()
        for member in members(file, one.name, limits):
            folder.take(one.name, [_noted(member.path, is_folder=member.content is None)])
            content = cast("IO[bytes] | None", member.content)
            yield Entry(f"{APP}/{member.path}", member.size, content, member.executable, SERVICE_USER)

    def _kept(self, source: ImageSource, key: str, title: str) -> CachedLayer | None:
        return None if source.no_cache else self._cache.layer(key, title)

    def _written(self, source: ImageSource, key: str, title: str, entries: Iterable[Entry], folder: Path) -> CachedLayer:
        paths: list[str] = []

        def noted() -> Iterator[Entry]:
            for entry in entries:
                paths.append(_noted(entry.path, is_folder=entry.content is None))
                yield entry

        why = "noCache was asked for" if source.no_cache else "nothing is kept under its key"
        layer = write_layer(noted(), folder / "layer", title).but(key=key, why_new=why)
        return self._cache.keep_layer(key, layer, folder / "layer", tuple(paths))

    def _target(self, source: ImageSource) -> Target:
        if self._settings.registry:
            name = f"{self._settings.registry}/{_account_name(source.account)}/{source.name}"
            reference = Reference.parse(f"{name}:{source.version}")
            return RegistryTarget(self._registries.repository(reference), reference.selected)
        if self._settings.images is None:
            raise ValueError("Neither a registry nor a folder for images is set.")
        layout = ImageLayout(self._settings.images / source.account.scope.replace("!", "/"))
        return LayoutTarget(layout, f"{source.name}:{source.version}")


def _refuse_what_cannot_be_built(source: ImageSource) -> None:
    runtime = source.manifest.target_runtime
    if runtime.runtime_type is not RuntimeType.PYTHON and not source.base:
        message = f"targetRuntime.runtimeType: got {runtime.runtime_type}; no base image is set for it."
        raise BuildFailed(message, code="RuntimeNotSupported")
    if runtime.properties.conda_env_file:
        message = (
            "targetRuntime.properties.condaEnvFile: conda environments cannot be built; list packages in pipRequirements."
        )
        raise BuildFailed(message, code="CondaNotSupported")
    if source.manifest.driver.unpack:
        message = "driverProgram: the driver must be a Python file, that is not to be unpacked."
        raise BuildFailed(message, code="BadDriver")


def _refuse_other_content(one: Source, fetched: Fetched, known: str | None) -> None:
    if known is not None and known != fetched.digest:
        raise BuildFailed(
            f"{one.name}: {foreign(one.url)} holds {fetched.digest} now, and held {known} when it was first fetched. "
            "Register it again, under a URL whose content stays.",
            code="SourceChanged",
        )


def _account_name(account: Account) -> str:
    """The account's part of a repository's name: its own name for people, and a few digits that are its alone."""
    readable = re.sub(r"[^a-z0-9]+", "-", account.name.lower()).strip("-")[:40]
    return f"{readable or 'account'}-{hashlib.sha256(account.scope.encode()).hexdigest()[:8]}"


def _noted(path: str, *, is_folder: bool) -> str:
    return f"{path}/" if is_folder else path


def _in_folder(paths: Iterable[str]) -> Iterator[str]:
    return (path.removeprefix(f"{APP}/") for path in paths)


def _tell(log: BuildLog, cached: CachedLayer, how: str, seconds: float) -> None:
    layer = cached.layer
    source = "from cache" if layer.cached else f"in {seconds:.2f} s, since {layer.why_new}"
    files = sum(not path.endswith("/") for path in cached.paths)
    log.line(f"{layer.title}: {how}, {files} files, layer of {_bytes(layer.size)} {source} ({layer.digest})")


def _bytes(count: int) -> str:
    return (
        f"{count} bytes" if count < 1024 else f"{count / 1024:.1f} KiB" if count < 1024**2 else f"{count / 1024**2:.1f} MiB"
    )
