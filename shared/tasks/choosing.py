"""Which image builder builds what: the manifest's `targetRuntime.properties` decide."""

from collections.abc import Sequence

from shared.domain.building import (
    ChosenVersion,
    ContentLayers,
    DependencyLayers,
    ImageBuilder,
    ImageSource,
    IsNamed,
    NotYet,
    PublishedImage,
    Resolved,
)
from shared.domain.errors import BuildFailed
from shared.domain.images import Layer
from shared.domain.manifests import Builder
from shared.domain.ports import BuildLog
from shared.tasks.builder import NOT_SET


class ChosenImageBuilder:
    """The port ImageBuilder, by whichever builder the manifest wants; `tasks` is None where it is not set up."""

    def __init__(self, layering: ImageBuilder, tasks: ImageBuilder | None) -> None:
        self._layering = layering
        self._tasks = tasks

    async def resolve(self, source: ImageSource, log: BuildLog) -> Resolved:
        """Decide what it is to be made of."""
        return await self._chosen(source).resolve(source, log)

    async def dependency_layers(self, source: ImageSource, log: BuildLog) -> DependencyLayers | NotYet:
        """The layers below the manifest's own content."""
        return await self._chosen(source).dependency_layers(source, log)

    async def content_layers(self, source: ImageSource, log: BuildLog) -> ContentLayers:
        """The models and assets."""
        return await self._chosen(source).content_layers(source, log)

    async def choose_version(self, source: ImageSource, layers: Sequence[Layer], latest: int) -> ChosenVersion:
        """The version whose tag it gets."""
        return await self._chosen(source).choose_version(source, layers, latest)

    async def publish(self, source: ImageSource, layers: Sequence[Layer], log: BuildLog) -> PublishedImage:
        """Config and manifest over those layers."""
        return await self._chosen(source).publish(source, layers, log)

    async def ensure_unpublished(
        self, source: ImageSource, layers: Sequence[Layer], log: BuildLog, is_named: IsNamed
    ) -> None:
        """Nothing of the build is left; what no builder could begin, any can take back."""
        chosen = self._layering if self._tasks is None else self._chosen(source)
        await chosen.ensure_unpublished(source, layers, log, is_named)

    def _chosen(self, source: ImageSource) -> ImageBuilder:
        if not _wants_remote(source):
            return self._layering
        if self._tasks is None:
            raise BuildFailed(
                "targetRuntime.properties: aptPackages and builder acr-tasks need remote builds, which are not set up here: "
                "SLIPWAY_REGISTRY must name a registry of Azure's, and SLIPWAY_REGISTRY_RESOURCE_ID its resource id.",
                code=NOT_SET,
            )
        return self._tasks


def _wants_remote(source: ImageSource) -> bool:
    properties = source.manifest.target_runtime.properties
    return properties.apt_packages is not None or properties.builder is Builder.ACR_TASKS
