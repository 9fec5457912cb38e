"""Use cases of images. Source: api.md, 7–9; client-facts.md, 16."""

from datetime import UTC, datetime

from shared.domain.accounts import Account
from shared.domain.computing import Computes
from shared.domain.deployments import Deployment
from shared.domain.documents import Change, Insert, Page, Stored, Touch
from shared.domain.errors import OperationInProgress
from shared.domain.filters import ImageFilters
from shared.domain.ids import created_at, new_id
from shared.domain.images import Image, ImageRequest
from shared.domain.manifests import Manifest
from shared.domain.operations import Operation
from shared.domain.plans import BUILD_IMAGE
from shared.domain.ports import BuildLogs, Clock, Store
from shared.domain.services import Service
from shared.domain.wire import Json
from shared.resources.found import found, referred
from shared.resources.operations import Operations
from shared.resources.removal import Reference, remove_unless_referred
from shared.resources.repeatability import UNREPEATED, Once
from shared.resources.tags import UNCONDITIONAL, Preconditions
from shared.resources.versions import commit_next_version

_TIME = len("2026-01-31T12:00:00.000Z")


class Images:
    """Images of an account, and the builds that make them."""

    def __init__(self, store: Store, clock: Clock, *, operations: Operations, computes: Computes, logs: BuildLogs) -> None:
        self._store = store
        self._clock = clock
        self._operations = operations
        self._computes = computes
        self._logs = logs

    async def build(self, account: Account, request: ImageRequest, once: Once = UNREPEATED) -> Operation:
        """Accept the build of an image; raises InvalidRequest for an unknown manifest or compute resource."""
        await self._computes.find(account, request.compute_resource_id, field="computeResourceId")
        manifest = await referred(self._store, account, Manifest, "manifestId", request.manifest_id)
        now = self._clock.now()
        identifier, operation_id = (new_id(now, self._clock.random_bits) for _ in range(2))
        checkpoint: dict[str, Json] = {"noCache": request.no_cache}
        operation = self._operations.accepted(
            BUILD_IMAGE, identifier=operation_id, resource_id=identifier, checkpoint=checkpoint
        )

        def changes(version: int) -> list[Change]:
            image = Image(
                id=identifier,
                name=request.name,
                version=version,
                description=request.description,
                image_type=request.image_type,
                manifest=manifest.document,
                compute_resource_id=request.compute_resource_id,
                created_time=created_at(identifier),
                operation_id=operation_id,
            )
            return [*once.recording(operation), Insert(image), Insert(operation), Touch(manifest)]

        await commit_next_version(self._store, account, Image, request.name, changes)
        await self._operations.start(account, operation)
        return operation

    async def get(self, account: Account, identifier: str) -> Image:
        """One image, its log's address made fresh; raises NotFound."""
        return await self._with_log(account, (await found(self._store, account, Image, identifier)).document)

    async def log(self, account: Account, identifier: str, since: datetime | None) -> str:
        """What the image's build has logged, since that moment when one is given; raises NotFound and Unavailable."""
        await found(self._store, account, Image, identifier)
        text = await self._logs.read(account, identifier)
        return text if since is None else lines_since(text, since)

    async def page(self, account: Account, filters: ImageFilters, count: int, after: str | None) -> Page[Image]:
        """Images that fit the filters, newest first, each with its log's address made fresh."""
        page = await self._store.page(account, Image, filters.given(), count=count, after=after)
        return Page(tuple([await self._with_log(account, image.summary()) for image in page.items]), page.after)

    async def delete(self, account: Account, identifier: str, preconditions: Preconditions = UNCONDITIONAL) -> bool:
        """Delete it; False when it is not there.

        Raises PreconditionFailed, and Conflict while it is being built, or a service runs it.
        """
        used = (Reference(Service, {"imageId": identifier}), Reference(Deployment, {"liveImageId": identifier}))
        return await remove_unless_referred(
            self._store, account, Image, identifier, *used, preconditions=preconditions, allow=_refuse_while_building
        )

    async def _with_log(self, account: Account, image: Image) -> Image:
        return image.but(image_build_log_uri=await self._logs.address(account, image.id))


def lines_since(text: str, since: datetime) -> str:
    """The lines that were written then or later; one that does not begin with its time goes with the line before."""
    lines = text.splitlines(keepends=True)
    written = datetime.min.replace(tzinfo=UTC)
    kept: list[str] = []
    for line in lines:
        written = _written(line) or written
        if written >= since:
            kept.append(line)
    return "".join(kept)


def _written(line: str) -> datetime | None:
    """When, as build logs have it: `2026-01-31T12:00:00.000Z`."""
    try:
        moment = datetime.fromisoformat(line[:_TIME])
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _refuse_while_building(stored: Stored[Image]) -> None:
    image = stored.document
    if not image.creation_state.terminal:
        raise OperationInProgress(f"image {image.id}", image.operation_id)
