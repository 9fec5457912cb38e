"""The image builder for manifests whose packages cannot be assembled in process: Debian packages, and source builds.

A run of ACR Tasks builds an image of the packages only, beside the images that are published. It becomes the base of what
the other builder assembles as always: its layers are mounted as any base image's are.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

from shared.domain.building import (
    ChosenVersion,
    Content,
    ContentLayers,
    DependencyLayers,
    ImageBuilder,
    ImageSource,
    IsNamed,
    NotYet,
    PublishedImage,
    Resolved,
    content_key,
)
from shared.domain.errors import BuildFailed, ServiceError, Unavailable, foreign
from shared.domain.images import Layer
from shared.domain.manifests import RuntimeProperties
from shared.domain.ports import BuildLog
from shared.domain.wire import Json
from shared.registries.references import Reference
from shared.registries.registries import Registries
from shared.tasks.context import packed
from shared.tasks.dockerfile import Recipe, apt_packages, refuse_half_hashed
from shared.tasks.log import follow, tail
from shared.tasks.runs import SUCCEEDED, Run, TaskRuns

type Requirements = Callable[[ImageSource, BuildLog], Awaitable[tuple[str, ...]]]
"""Fetches a source's requirements file: its lines, each a PEP 508 requirement, perhaps with hashes."""

_DELAYS = (2.0, 3.0, 4.5, 6.75, 10.0, 15.0)
"""Seconds between looks; the last goes on."""
NOT_SET = "RemoteBuilderNotSet"


@dataclass(frozen=True)
class _Begun:
    """What is known of a run between one look at it and the next."""

    run: str
    tag: str
    read: int = 0
    looks: int = 0

    @classmethod
    def of(cls, left: Mapping[str, Json]) -> "_Begun | None":
        if "run" not in left:
            return None
        return cls(str(left["run"]), str(left["tag"]), int(str(left["read"])), int(str(left["looks"])))

    def looked(self, read: int) -> NotYet:
        delay = timedelta(seconds=_DELAYS[min(self.looks, len(_DELAYS) - 1)])
        left = asdict(replace(self, read=read, looks=self.looks + 1)) if self.run else {}
        return NotYet(delay, f"the remote run {self.run}" if self.run else "the remote run to be queued", left)


class TasksImageBuilder:
    """The port ImageBuilder: packages by a remote run, all else by `inner`. `registry` is where images go: `host/prefix`."""

    def __init__(
        self,
        inner: ImageBuilder,
        runs: TaskRuns,
        registries: Registries,
        *,
        registry: str,
        platform: str,
        requirements: Requirements,
    ) -> None:
        self._inner = inner
        self._runs = runs
        self._image = Reference.parse(f"{registry}/dependencies:latest")
        self._repository = registries.repository(self._image)
        self._platform = platform
        self._requirements = requirements

    async def resolve(self, source: ImageSource, log: BuildLog) -> Resolved:
        """The base image; what is listed for the run is read, and refused when it must be."""
        if source.manifest.target_runtime.properties.conda_env_file:
            message = "targetRuntime.properties.condaEnvFile: remote builds take no conda environments; use pipRequirements."
            raise BuildFailed(message, code="CondaNotSupported")
        resolved = await self._inner.resolve(_bare(source), log)
        if not resolved.base:
            runtime = source.manifest.target_runtime.runtime_type
            message = f"A remote build needs a base image, and none is set: SLIPWAY_BASE_IMAGE_{runtime.upper()}."
            raise BuildFailed(message, code=NOT_SET)
        if _key(source) not in source.known:
            await self._recipe(replace(source, base=resolved.base), log)
        return resolved

    async def dependency_layers(self, source: ImageSource, log: BuildLog) -> DependencyLayers | NotYet:
        """The layers of the image that the run built, and the scoring server. A manifest's packages stay what they were."""
        key = _key(source)
        known = source.known.get(key)
        digest = await self._still_there(known.digest) if known else await self._installed(source, log)
        if isinstance(digest, NotYet):
            return digest
        base = str(self._image.pinned(digest)) if digest else source.base
        made = await self._inner.dependency_layers(replace(_bare(source), base=base, left={}), log)
        if isinstance(made, NotYet) or not digest:
            return made
        return replace(made, contents={**made.contents, key: Content(digest)})

    async def content_layers(self, source: ImageSource, log: BuildLog) -> ContentLayers:
        """The models and assets."""
        return await self._inner.content_layers(source, log)

    async def choose_version(self, source: ImageSource, layers: Sequence[Layer], latest: int) -> ChosenVersion:
        """The version whose tag it gets."""
        return await self._inner.choose_version(source, layers, latest)

    async def publish(self, source: ImageSource, layers: Sequence[Layer], log: BuildLog) -> PublishedImage:
        """Config and manifest; the source's base is the one that `dependency_layers` named."""
        return await self._inner.publish(source, layers, log)

    async def ensure_unpublished(
        self, source: ImageSource, layers: Sequence[Layer], log: BuildLog, is_named: IsNamed
    ) -> None:
        """The tag does not name it, and the run does not go on."""
        canceled = await self._runs.ensure_canceled(source.operation_id)
        if canceled is not None:
            log.line(f"cancelled the remote run {canceled.id}")
        await self._inner.ensure_unpublished(source, layers, log, is_named)

    async def _installed(self, source: ImageSource, log: BuildLog) -> str | NotYet:
        """The digest of the image of the packages; empty when there are none."""
        begun = _Begun.of(source.left)
        if begun is not None:
            return await self._looked(begun, await self._runs.get(begun.run), log)
        recipe = await self._recipe(source, log)
        if recipe.nothing:
            return ""
        tag = recipe.key(self._platform)
        there = "" if source.no_cache else await self._tagged(tag)
        if there:
            log.line(f"dependencies: {self._image.pinned(there)} was built before, of the same packages")
            return there
        run = await self._ensure_run(source, recipe, tag, log)
        return await self._looked(_Begun(run.id, tag), run, log)

    async def _recipe(self, source: ImageSource, log: BuildLog) -> Recipe:
        properties = source.manifest.target_runtime.properties
        packages = apt_packages(properties.apt_packages) if properties.apt_packages is not None else ()
        requirements = await self._requirements(source, log) if properties.pip_requirements else ()
        refuse_half_hashed(requirements)
        return Recipe(source.base, packages, requirements)

    async def _ensure_run(self, source: ImageSource, recipe: Recipe, tag: str, log: BuildLog) -> Run:
        run = await self._runs.find(source.operation_id)
        if run is None:
            run = await self._runs.begin(
                source.operation_id,
                context=packed(recipe.files()),
                image=f"{self._image.repository}:{tag}",
                platform=self._platform,
                no_cache=source.no_cache,
            )
            log.line(f"remote run {run.id} for {self._platform}, on {recipe.base}")
            log.line(f"it installs: {' '.join((*recipe.apt_packages, *recipe.requirements))}")
        return run

    async def _looked(self, begun: _Begun, run: Run, log: BuildLog) -> str | NotYet:
        read = await self._followed(begun, run, log)
        if not run.ended:
            return begun.looked(read)
        if run.status != SUCCEEDED:
            raise await self._failure(run)
        digest = dict(run.digests).get(f"{self._image.repository}:{begun.tag}") or await self._tagged(begun.tag)
        if not digest:
            raise Unavailable(f"The remote run {run.id} has ended, and its image is not there.", code="RemoteImageMissing")
        log.line(f"dependencies: {self._image.pinned(digest)}, by the remote run {run.id}")
        return digest

    async def _followed(self, begun: _Begun, run: Run, log: BuildLog) -> int:
        """A log that cannot be read for the moment keeps no build from going on."""
        if not run.id:
            return begun.read
        try:
            return await follow(await self._runs.log_url(run.id), begun.read, run.id, log, ended=run.ended)
        except ServiceError as error:
            if not error.retryable:
                raise
            log.line(f"the log of the remote run {run.id} cannot be read now: {error.message}")
            return begun.read

    async def _failure(self, run: Run) -> BuildFailed:
        try:
            last = await tail(await self._runs.log_url(run.id)) if run.id else ""
        except ServiceError:  # that it failed is what matters
            last = ""
        why = "".join([f": {foreign(run.error)}" if run.error else "", f". Its log ends: {last}" if last else ""])
        named = f"The remote run {run.id}".rstrip()
        return BuildFailed(f"{named} ended as {run.status}{why}", code="RemoteBuildFailed")

    async def _still_there(self, digest: str) -> str:
        if not await self._tagged(digest):
            raise BuildFailed(
                f"The image of this manifest's packages, {self._image.pinned(digest)}, is not in the registry any more. "
                "Register the manifest again to have them installed anew.",
                code="DependenciesGone",
            )
        return digest

    async def _tagged(self, tag: str) -> str:
        """The digest of what that tag or digest names; empty when it is not there."""
        found = await self._repository.manifest(tag)
        return found.digest if found else ""


def _key(source: ImageSource) -> str:
    return content_key(source.manifest.id, "dependencies")


def _bare(source: ImageSource) -> ImageSource:
    """The source without what the run installs."""
    runtime = source.manifest.target_runtime.but(properties=RuntimeProperties())
    return replace(source, manifest=source.manifest.but(target_runtime=runtime))
