"""Joins what builds images: a part of the bootstrap, and imported by it alone."""

from pathlib import Path

from shared.domain.ports import Clock, ImageBuilder
from shared.image_settings import ImageSettings, SourcePackages
from shared.images.archives import Limits
from shared.images.builder import BuilderSettings, LayeringImageBuilder
from shared.images.cache import LayerCache
from shared.images.compression import Compression
from shared.images.dependencies import Dependencies, DependencySettings
from shared.images.fetch import Fetcher
from shared.images.source_layers import SourceLayers
from shared.registries.authority import Identity
from shared.registries.registries import Registries
from shared.storage.blobs import BlobAccount
from shared.storage.keep import BlobKeep
from shared.storage.own_blobs import OwnBlobs

_RUNTIME = Path(__file__).parent.parent / "runtime"


def made_builder(settings: ImageSettings, blobs: BlobAccount, clock: Clock) -> ImageBuilder:
    """What builds images, as the settings say."""
    keep = BlobKeep(blobs)
    fetcher = Fetcher(
        allow=settings.fetch.allow,
        hosts=settings.fetch.hosts,
        most_bytes=settings.fetch.most_bytes,
        sign=OwnBlobs(blobs, settings.fetch.containers).signed,
    )
    dependencies = DependencySettings(
        platform=settings.platform,
        python=settings.python,
        scratch=settings.scratch,
        runtime=_RUNTIME,
        indexes=settings.packages.indexes,
        source_packages=settings.packages.sources is SourcePackages.BUILD,
        conda_channels=settings.packages.channels,
    )
    return LayeringImageBuilder(
        BuilderSettings(
            platform=settings.platform,
            images=settings.images,
            registry=settings.registry,
            bases=settings.bases,
            compression=Compression(settings.compression),
        ),
        Registries(settings.logins, _identity),
        LayerCache(keep, clock),
        Dependencies(dependencies, fetcher, keep, clock),
        SourceLayers(fetcher, keep, Limits(bytes=settings.fetch.most_unpacked_bytes)),
    )


def _identity() -> Identity:
    from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415  # a cold start without Azure's registry does without

    return DefaultAzureCredential()
