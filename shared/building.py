"""Joins what builds images: a part of the bootstrap, and imported by it alone."""

from datetime import timedelta
from pathlib import Path

from shared.domain.building import ImageBuilder
from shared.domain.ports import Clock, Collector
from shared.image_settings import ImageSettings, SourcePackages
from shared.images.builder import BuilderSettings, LayeringImageBuilder
from shared.images.content.archives import Limits
from shared.images.content.fetch import Fetcher
from shared.images.content.source_layers import SourceLayers
from shared.images.keep_collector import KeepCollector
from shared.images.layouts.collector import LayoutCollector
from shared.images.packages.dependencies import Dependencies, DependencySettings
from shared.images.packing.cache import LayerCache
from shared.images.packing.compression import Compression
from shared.registries.authority import Identity
from shared.registries.registries import Registries
from shared.storage.blobs import BlobAccount
from shared.storage.keep import BlobKeep
from shared.storage.log_collector import LogCollector
from shared.storage.own_blobs import OwnBlobs
from shared.tasks.builder import TasksImageBuilder
from shared.tasks.choosing import ChosenImageBuilder
from shared.tasks.runs import RegistryResource, TaskRuns, cloud_of

_RUNTIME = Path(__file__).parent.parent / "runtime"


def made_registries(settings: ImageSettings) -> Registries:
    """The registries that images come from and go to."""
    return Registries(settings.logins, _identity)


def made_builder(
    settings: ImageSettings, registries: Registries, blobs: BlobAccount, clock: Clock, *, deadline: timedelta
) -> ImageBuilder:
    """What builds images, as the settings say; `deadline` is how long a build may take."""
    keep = BlobKeep(blobs)
    fetcher = Fetcher(
        allow=settings.fetch.allow,
        hosts=settings.fetch.hosts,
        most_bytes=settings.fetch.most_bytes,
        sign=OwnBlobs(blobs, settings.fetch.containers).signed,
    )
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
    )
    return ChosenImageBuilder(layering, _tasks(settings, layering, registries, dependencies, deadline))


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
    deadline: timedelta,
) -> ImageBuilder | None:
    """Remote builds, where the registry is one of Azure's and its resource id is known."""
    cloud = cloud_of(settings.registry.partition("/")[0])
    if cloud is None or not settings.registry_resource_id:
        return None
    resource = RegistryResource.parse(settings.registry_resource_id)
    return TasksImageBuilder(
        layering,
        TaskRuns(resource, cloud=cloud, timeout=deadline, credential=_identity),
        registries,
        registry=settings.registry,
        platform=settings.platform,
        requirements=dependencies.requirements,
    )


def _dependency_settings(settings: ImageSettings) -> DependencySettings:
    return DependencySettings(
        platform=settings.platform,
        python=settings.python,
        scratch=settings.scratch,
        runtime=_RUNTIME,
        indexes=settings.packages.indexes,
        source_packages=settings.packages.sources is SourcePackages.BUILD,
        conda_channels=settings.packages.channels,
    )


def _identity() -> Identity:
    from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415  # a cold start without Azure's registry does without

    return DefaultAzureCredential()
