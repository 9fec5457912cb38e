"""Joins what builds images: a part of the bootstrap, and imported by it alone."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from shared.domain.building import ImageBuilder
from shared.domain.ports import Clock, Collector
from shared.images.builder import BuilderSettings, LayeringImageBuilder
from shared.images.content.fetch import RATE, Fetcher, Sign, unsigned
from shared.images.content.guard import Limits
from shared.images.content.source_layers import SourceLayers
from shared.images.drivers.checking import DriverCheck
from shared.images.keep_collector import KeepCollector
from shared.images.layouts.collector import LayoutCollector
from shared.images.packages.dependencies import Dependencies, DependencySettings
from shared.images.packages.pip import proven_sandbox
from shared.images.packages.sandbox import NoSandbox, Sandbox
from shared.images.packages.scratch import ensure_private
from shared.images.packages.sources import NotBuilt
from shared.images.packing.cache import LayerCache
from shared.images.packing.compression import Compression
from shared.registries.authority import Identity
from shared.registries.platforms import Platform
from shared.registries.registries import Registries
from shared.settings.images import FetchSettings, ImageSettings, SourcePackages
from shared.storage.blobs import BlobAccount
from shared.storage.keep import BlobKeep
from shared.storage.log_collector import LogCollector
from shared.storage.own_blobs import OwnBlobs
from shared.tasks.builder import TasksImageBuilder
from shared.tasks.choosing import ChosenImageBuilder
from shared.tasks.runs import TaskRuns, cloud_of

if TYPE_CHECKING:
    from azure.identity.aio import DefaultAzureCredential

_SOURCES: Mapping[SourcePackages, Callable[[], Sandbox | NotBuilt]] = {
    SourcePackages.SANDBOX: proven_sandbox,
    SourcePackages.ACR_TASKS: lambda: NotBuilt.ELSEWHERE,
    SourcePackages.REFUSE: lambda: NotBuilt.REFUSED,
    SourcePackages.TRUST: NoSandbox,
}
_RUNTIME = Path(__file__).parent.parent / "runtime"


def made_registries(settings: ImageSettings, opened: AsyncExitStack) -> Registries:
    """The registries that images come from and go to. `opened` closes them, and what signs in to them."""

    def identity() -> Identity:
        credential = _identity()
        opened.push_async_callback(credential.close)
        return credential

    registries = Registries(settings.logins, identity)
    opened.push_async_callback(registries.close)
    return registries


def made_fetcher(settings: FetchSettings, sign: Sign = unsigned) -> Fetcher:
    """What fetches models, assets and requirements, as the settings say."""
    return Fetcher(
        allow=settings.allow,
        hosts=settings.hosts,
        most_bytes=settings.most_bytes,
        least_rate=replace(RATE, bytes_a_second=settings.least_bytes_a_second),
        sign=sign,
    )


def made_builder(
    settings: ImageSettings,
    registries: Registries,
    blobs: BlobAccount,
    clock: Clock,
    *,
    deadline: timedelta,
    opened: AsyncExitStack,
) -> ImageBuilder:
    """What builds images, as the settings say; `deadline` is how long a build may take. `opened` closes what it opens.

    Raises SettingError when the folder to work in is open to others.
    """
    ensure_private(settings.scratch)
    keep = BlobKeep(blobs)
    fetcher = made_fetcher(settings.fetch, OwnBlobs(blobs, settings.fetch.containers).signed)
    dependencies = Dependencies(_dependency_settings(settings), fetcher, keep, clock)
    layering = LayeringImageBuilder(
        BuilderSettings(
            platform=settings.platform,
            images=settings.images,
            registry=settings.registry,
            bases=settings.bases,
            compression=Compression(settings.compression),
        ),
        registries,
        LayerCache(keep, clock),
        dependencies,
        SourceLayers(fetcher, keep, Limits(bytes=settings.fetch.most_unpacked_bytes)),
        driver_check=DriverCheck(fetcher, keep, settings.python),
    )
    runs = made_runs(settings, deadline, opened)
    return ChosenImageBuilder(layering, _tasks(settings, layering, registries, dependencies, runs) if runs else None)


def made_runs(settings: ImageSettings, deadline: timedelta, opened: AsyncExitStack) -> TaskRuns | None:
    """Runs of remote builds, where the registry is one of Azure's and its resource id is known. `opened` closes them."""
    cloud = cloud_of(settings.registry.partition("/")[0])
    if cloud is None or settings.registry_resource is None:
        return None
    runs = TaskRuns(settings.registry_resource, cloud=cloud, timeout=deadline, credential=_identity)
    opened.push_async_callback(runs.close)
    return runs


def made_collectors(settings: ImageSettings, blobs: BlobAccount) -> tuple[Collector, ...]:
    """What finds garbage, wherever builds leave it."""
    keep = BlobKeep(blobs)
    in_layouts = (LayoutCollector(settings.images, keep),) if settings.images else ()
    return (*in_layouts, KeepCollector(keep), LogCollector(blobs))


def _tasks(
    settings: ImageSettings,
    layering: ImageBuilder,
    registries: Registries,
    dependencies: Dependencies,
    runs: TaskRuns,
) -> ImageBuilder:
    return TasksImageBuilder(
        layering,
        runs,
        registries,
        registry=settings.registry,
        platform=settings.platform,
        requirements=dependencies.requirements,
    )


def _dependency_settings(settings: ImageSettings) -> DependencySettings:
    return DependencySettings(
        platform=Platform.parse(settings.platform).plain,
        python=settings.python,
        scratch=settings.scratch,
        runtime=_RUNTIME,
        indexes=settings.packages.indexes,
        source_packages=_SOURCES[settings.packages.sources](),
        conda_channels=settings.packages.channels,
    )


def _identity() -> "DefaultAzureCredential":
    from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415  # a cold start without Azure's registry does without

    return DefaultAzureCredential()
