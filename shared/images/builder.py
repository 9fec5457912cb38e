"""The image builder: fetches, packs and publishes to an OCI image layout on disk, one layer a source."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from shared.domain.errors import BuildFailed, Unavailable, foreign
from shared.domain.images import Layer
from shared.domain.manifests import RuntimeType
from shared.domain.ports import BuildLog, ImageSource, PublishedImage
from shared.images.archives import Limits, members, safe_path
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
from shared.images.layout import ImageLayout, location_of
from shared.images.one_folder import OneFolder, Source, driver_source, sources
from shared.images.packages import INSTALLER, PackageInstaller, pinned
from shared.images.requirements import parse_requirements

_LARGEST_REQUIREMENTS = 1024 * 1024


@dataclass(frozen=True)
class BuilderSettings:
    """Where images and cached layers are kept, what they are for, what may be fetched, and what of it is too much."""

    images: Path
    cache: Path
    runtime: Path
    platform: str
    python: str
    fetch_allow: tuple[str, ...] = ()
    most_fetched_bytes: int = 16 * 1024**3
    archives: Limits = field(default_factory=Limits)


class LayoutImageBuilder:
    """Builds into one OCI image layout an account. Blocking work runs in threads; equal work is found in the cache."""

    def __init__(self, settings: BuilderSettings) -> None:
        self._settings = settings
        self._cache = LayerCache(settings.cache)
        self._fetcher = Fetcher(allow=settings.fetch_allow, most_bytes=settings.most_fetched_bytes)
        self._installer = PackageInstaller(settings.platform, settings.python, self._cache.packages)

    async def dependency_layers(self, source: ImageSource, log: BuildLog) -> tuple[Layer, ...]:
        """The scoring server, and the installed requirements."""
        properties = source.manifest.target_runtime.properties
        _refuse_what_cannot_be_built(source)
        log.line(
            f"building {source.name} version {source.version} for {self._settings.platform}, Python {self._settings.python}"
        )
        cached = [await asyncio.to_thread(self._runtime_layer, log)]
        if properties.pip_requirements:
            requirements = await self._requirements(properties.pip_requirements, log)
            if requirements:
                cached.append(await asyncio.to_thread(self._requirements_layer, requirements, log))
        return await asyncio.to_thread(self._kept_in_layout, source, cached)

    async def content_layers(self, source: ImageSource, log: BuildLog) -> tuple[Layer, ...]:
        """The models, the assets and last the driver, one layer each, in the one folder."""
        folder = OneFolder()
        cached = [await asyncio.to_thread(self._map_layer, source)]
        folder.take("Slipway itself", _in_folder(cached[0].paths))
        for one in sources(source):
            layer = await self._source_layer(one, log)
            folder.take(one.name, _in_folder(layer.paths))
            cached.append(layer)
        return await asyncio.to_thread(self._kept_in_layout, source, cached)

    async def publish(self, source: ImageSource, layers: Sequence[Layer], log: BuildLog) -> PublishedImage:
        """Config and manifest over those layers, under the tag `name:version`."""
        published = await asyncio.to_thread(self._publish, source, layers)
        size = sum(layer.size for layer in layers)
        log.line(f"pushed {published.location}, {published.digest}, {len(layers)} layers, {_bytes(size)}")
        return published

    async def ensure_unpublished(self, source: ImageSource, log: BuildLog) -> None:
        """Nothing has the tag of that image."""
        await asyncio.to_thread(self._layout(source).remove_tag, _tag(source))

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

    def _requirements_layer(self, requirements: tuple[str, ...], log: BuildLog) -> CachedLayer:
        began = time.monotonic()
        key = self._cache.key("lock", INSTALLER, self._settings.platform, self._settings.python, *requirements)
        lock = self._cache.lock(key)
        if lock is None:
            lock = self._installer.lock(requirements)
            self._cache.keep_lock(key, lock)
            log.line(f"resolved {len(requirements)} requirements in {time.monotonic() - began:.2f} s")
        log.line(f"dependencies: {' '.join(pinned(lock))}")
        return self._installed_layer("dependencies", lock, DEPENDENCIES, log)

    def _runtime_layer(self, log: BuildLog) -> CachedLayer:
        runtime = self._settings.runtime
        lock = (runtime / "requirements.txt").read_text()
        code = [
            file_entry(f"{RUNTIME}/{file.relative_to(runtime).as_posix()}", file) for file in sorted(runtime.rglob("*.py"))
        ]
        return self._installed_layer("scoring server", lock, f"{RUNTIME}/lib", log, code)

    def _installed_layer(self, title: str, lock: str, under: str, log: BuildLog, more: Sequence[Entry] = ()) -> CachedLayer:
        began = time.monotonic()
        contents = [f"{entry.path}={entry.content.read().decode()}" for entry in more if entry.content]
        key = self._cache.key(
            "installed", FORMAT, INSTALLER, self._settings.platform, self._settings.python, under, lock, *contents
        )
        cached = self._cache.layer(key, title)
        if cached is None:
            with self._cache.workspace() as folder:
                tree = folder / "tree"
                tree.mkdir()
                self._installer.install(lock, tree)
                entries = [*more, *installed_entries(tree, under)]
                cached = self._written(key, title, entries, folder)
        _tell(log, cached, "installed", time.monotonic() - began)
        return cached

    def _map_layer(self, source: ImageSource) -> CachedLayer:
        content = model_config_map(source)
        key = self._cache.key("map", FORMAT, content.decode())
        entries = [bytes_entry(f"{APP}/{MODEL_CONFIG_MAP}", content, owner=SERVICE_USER)]
        with self._cache.workspace() as folder:
            return self._cache.layer(key, MODEL_CONFIG_MAP) or self._written(key, MODEL_CONFIG_MAP, entries, folder)

    async def _source_layer(self, one: Source, log: BuildLog) -> CachedLayer:
        with self._cache.workspace() as folder:
            fetched = await self._fetch(one.name, one.url, folder, log)
            return await asyncio.to_thread(self._packed, one, fetched, folder, log)

    def _packed(self, one: Source, fetched: Fetched, folder: Path, log: BuildLog) -> CachedLayer:
        began = time.monotonic()
        how = "unpacked" if one.unpack else f"as {one.file_name}"
        key = self._cache.key("source", FORMAT, fetched.digest, how)
        cached = self._cache.layer(key, one.name)
        if cached is None:
            cached = self._written(key, one.name, self._entries(one, fetched.path), folder)
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

    def _written(self, key: str, title: str, entries: Iterable[Entry], folder: Path) -> CachedLayer:
        paths: list[str] = []

        def noted() -> Iterator[Entry]:
            for entry in entries:
                paths.append(_noted(entry.path, is_folder=entry.content is None))
                yield entry

        layer = write_layer(noted(), folder / "layer", title)
        return self._cache.keep_layer(key, layer, folder / "layer", tuple(paths))

    def _kept_in_layout(self, source: ImageSource, cached: Sequence[CachedLayer]) -> tuple[Layer, ...]:
        layout = self._layout(source)
        for one in cached:
            layout.put_file(one.layer.digest, one.blob)
        return tuple(one.layer for one in cached)

    def _publish(self, source: ImageSource, layers: Sequence[Layer]) -> PublishedImage:
        layout = self._layout(source)
        missing = [layer.title for layer in layers if not layout.has_blob(layer.digest)]
        if missing:
            raise Unavailable(f"The layers {', '.join(missing)} are not in the image layout.", code="LayerMissing")
        driver = driver_source(source).file_name
        config = image_config(source, layers, self._settings.platform, driver)
        config_digest = layout.put_bytes(config)
        manifest = image_manifest(source, layers, config_digest=config_digest, config_size=len(config))
        tag = _tag(source)
        return PublishedImage(location_of(layout.folder, tag), layout.put_manifest(manifest, tag))

    def _layout(self, source: ImageSource) -> ImageLayout:
        return ImageLayout(self._settings.images / source.account.scope.replace("!", "/"))


def _refuse_what_cannot_be_built(source: ImageSource) -> None:
    runtime = source.manifest.target_runtime
    if runtime.runtime_type is not RuntimeType.PYTHON:
        message = (
            f"targetRuntime.runtimeType: got {runtime.runtime_type}; images can be built for {RuntimeType.PYTHON} only."
        )
        raise BuildFailed(message, code="RuntimeNotSupported")
    if runtime.properties.conda_env_file:
        message = (
            "targetRuntime.properties.condaEnvFile: conda environments cannot be built; list packages in pipRequirements."
        )
        raise BuildFailed(message, code="CondaNotSupported")
    if source.manifest.driver.unpack:
        message = "driverProgram: the driver must be a Python file, that is not to be unpacked."
        raise BuildFailed(message, code="BadDriver")


def _tag(source: ImageSource) -> str:
    return f"{source.name}:{source.version}"


def _noted(path: str, *, is_folder: bool) -> str:
    return f"{path}/" if is_folder else path


def _in_folder(paths: Iterable[str]) -> Iterator[str]:
    return (path.removeprefix(f"{APP}/") for path in paths)


def _tell(log: BuildLog, cached: CachedLayer, how: str, seconds: float) -> None:
    layer = cached.layer
    source = "from cache" if layer.cached else f"in {seconds:.2f} s"
    files = sum(not path.endswith("/") for path in cached.paths)
    log.line(f"{layer.title}: {how}, {files} files, layer of {_bytes(layer.size)} {source} ({layer.digest})")


def _bytes(count: int) -> str:
    return (
        f"{count} bytes" if count < 1024 else f"{count / 1024:.1f} KiB" if count < 1024**2 else f"{count / 1024**2:.1f} MiB"
    )
