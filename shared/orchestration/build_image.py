"""The workflow that builds an image: what it is made of, dependencies, content, then one manifest over all of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.domain.accounts import Account
from shared.domain.building import TAG_TAKEN, ImageBuilder, ImageSource, NotYet
from shared.domain.documents import Change, Replace, Stored
from shared.domain.errors import BuildFailed, LeftBehind, ServiceError
from shared.domain.fencing import LeaseLost
from shared.domain.images import BUILD_LOG, Image, Layer, log_path
from shared.domain.models import Model
from shared.domain.operations import ErrorDetail, ErrorResponse, Operation, State
from shared.domain.ports import BuildLog, BuildLogs, Store
from shared.domain.wire import Json
from shared.orchestration.outcome import Done, Failure, Next, Outcome, Step, Wait
from shared.resources.contents import Contents
from shared.resources.every import every
from shared.resources.found import found
from shared.resources.versions import latest_version, skip_to

_TAG_IS_OWN = "tagIsOwn"
"""In the checkpoint, once the version is chosen: whether nothing had its tag then."""
_GIVEN_UP = (State.FAILED, State.CANCELLED)


class BuildImage:
    """Steps: begin → resolve → dependencies → content → publish. What each made is in the checkpoint as layers."""

    def __init__(self, store: Store, builder: ImageBuilder, logs: BuildLogs) -> None:
        self._store = store
        self._builder = builder
        self._logs = logs
        self._contents = Contents(store)

    @property
    def steps(self) -> Mapping[str, Step]:
        """The steps, by name."""
        return {
            "begin": self._begin,
            "resolve": self._resolve,
            "dependencies": self._dependencies,
            "content": self._content,
            "publish": self._publish,
        }

    def overdue(self, operation: Operation) -> ServiceError:
        """The error of a build that took too long."""
        return ServiceError(
            f"The build did not end by its deadline; it was at the step '{operation.step}'.",
            code="ImageBuildTimedOut",
            status_code=504,
        )

    async def undo(self, account: Account, operation: Operation) -> None:
        """Nothing keeps the tag of an image that was not built; layers are content-addressed, and nobody's.

        Only a tag that this build put is looked for. What stays of it harms nobody, and so is a warning.
        """
        async with self._logs.writing(account, operation.resource_id) as log:
            try:
                await self._unpublish(account, operation, log)
            except LeaseLost:
                raise
            except ServiceError as error:
                log.line(f"not removed: {error.message}")
                raise LeftBehind.because(error) from error

    async def _unpublish(self, account: Account, operation: Operation, log: BuildLog) -> None:
        source = await self._source(account, operation)
        layers = _all_layers(operation) if operation.checkpoint.get(_TAG_IS_OWN) is True else ()

        async def is_named() -> bool:
            return await self._is_named(account, operation, source)

        await self._builder.ensure_unpublished(source, layers, log, is_named)

    async def _is_named(self, account: Account, operation: Operation, source: ImageSource) -> bool:
        """Whether another version of the image may be the same, byte for byte: it is made of the same manifest, and built
        or being built."""
        of_manifest = every(self._store, account, Image, {"manifestId": source.manifest.id})
        others = [image async for image in of_manifest if image.id != operation.resource_id and image.name == source.name]
        return any(image.creation_state not in _GIVEN_UP for image in others)

    async def failed(self, account: Account, operation: Operation, error: ErrorResponse, *, undone: bool) -> Failure:
        """The image is failed, too, and the error's first detail says where the log is, relative to the account."""
        image = await self._image(account, operation)
        log = ErrorDetail(code=BUILD_LOG, message=log_path(image.document.id))
        explained = error.but(details=(log, *(error.details or ())))
        async with self._logs.writing(account, image.document.id) as writing:
            writing.line(f"failed: {error.message}")
        return Failure(explained, [Replace(image, image.document.failed(explained))])

    async def cancelled(self, account: Account, operation: Operation) -> Sequence[Change]:
        """The image is cancelled, too."""
        image = await self._image(account, operation)
        async with self._logs.writing(account, image.document.id) as writing:
            writing.line("cancelled")
        return [Replace(image, image.document.cancelled())]

    async def _begin(self, account: Account, operation: Operation) -> Outcome:
        image = await self._image(account, operation)
        return Next("resolve", changes=[Replace(image, image.document.running())])

    async def _resolve(self, account: Account, operation: Operation) -> Outcome:
        source = await self._source(account, operation)
        async with self._logs.writing(account, operation.resource_id) as log:
            resolved = await self._builder.resolve(source, log)
        changes = await self._contents.recording(account, source, resolved.contents)
        return Next("dependencies", {"base": resolved.base}, changes)

    async def _dependencies(self, account: Account, operation: Operation) -> Outcome:
        source = await self._source(account, operation)
        async with self._logs.writing(account, operation.resource_id) as log:
            made = await self._builder.dependency_layers(source, log)
        if isinstance(made, NotYet):
            return Wait(made.delay, made.waiting_for, {"left": dict(made.left)})
        changes = await self._contents.recording(account, source, made.contents)
        return Next("content", {"base": made.base, "dependencies": _to_json(made.layers)}, changes)

    async def _content(self, account: Account, operation: Operation) -> Outcome:
        source = await self._source(account, operation)
        async with self._logs.writing(account, operation.resource_id) as log:
            content = await self._builder.content_layers(source, log)
        changes = await self._contents.recording(account, source, content.contents)
        return Next("publish", {"content": _to_json(content.layers)}, changes)

    async def _publish(self, account: Account, operation: Operation) -> Outcome:
        """The version is chosen and committed before its tag is put: who takes it back knows whose it is."""
        source = await self._source(account, operation)
        layers = _all_layers(operation)
        async with self._logs.writing(account, operation.resource_id) as log:
            if _TAG_IS_OWN not in operation.checkpoint:
                return await self._choose_version(account, operation, source, log)
            try:
                published = await self._builder.publish(source, layers, log)
            except BuildFailed as error:
                if error.code != TAG_TAKEN:
                    raise
                return await self._choose_version(account, operation, source, log)  # it was free a moment ago
        image = await self._image(account, operation)
        built = image.document.built(location=published.location, digest=published.digest, layers=layers)
        return Done([Replace(image, built)])

    async def _choose_version(self, account: Account, operation: Operation, source: ImageSource, log: BuildLog) -> Outcome:
        """Go on to publish. The image takes another version, and the claim of versions moves on, when its own is taken."""
        latest = await latest_version(self._store, account, Image, source.name)
        given = max(source.version, int(latest.value) if latest else 0)
        chosen = await self._builder.choose_version(source, _all_layers(operation), given)
        left: Mapping[str, Json] = {_TAG_IS_OWN: chosen.is_free}
        if chosen.version == source.version:
            return Next("publish", left)
        image = await self._image(account, operation)
        log.line(f"version {source.version} names another image where images go: this one is version {chosen.version}")
        skipped = skip_to(latest, Image, source.name, chosen.version)
        return Next("publish", left, [skipped, Replace(image, image.document.renumbered(chosen.version))])

    async def _image(self, account: Account, operation: Operation) -> Stored[Image]:
        return await found(self._store, account, Image, operation.resource_id)

    async def _source(self, account: Account, operation: Operation) -> ImageSource:
        image = (await self._image(account, operation)).document
        model_ids = dict.fromkeys(image.manifest.model_ids)
        models = [(await found(self._store, account, Model, model_id)).document for model_id in model_ids]
        left = operation.checkpoint.get("left")
        source = ImageSource(
            account,
            image.name,
            image.version,
            image.manifest,
            tuple(models),
            base=str(operation.checkpoint.get("base", "")),
            no_cache=operation.checkpoint.get("noCache") is True,
            operation_id=operation.id,
            left=left if isinstance(left, dict) else {},
        )
        return replace(source, known=await self._contents.known(account, source))


def _to_json(layers: tuple[Layer, ...]) -> Json:
    return [layer.stored() for layer in layers]


def _all_layers(operation: Operation) -> tuple[Layer, ...]:
    """What it is published with; none before content is there."""
    content = _layers(operation, "content")
    return _layers(operation, "dependencies") + content if content else ()


def _layers(operation: Operation, step: str) -> tuple[Layer, ...]:
    """What a step left, nothing when it has not come to that."""
    layers = operation.checkpoint.get(step)
    return tuple(Layer.from_stored(layer) for layer in layers) if isinstance(layers, list) else ()
