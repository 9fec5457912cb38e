"""Use cases of manifests. Source: api.md, 4–6; client-facts.md, 16."""

import asyncio

from shared.domain.accounts import Account
from shared.domain.documents import Change, Insert, Page, Touch
from shared.domain.errors import PreconditionFailed
from shared.domain.filters import ManifestFilters
from shared.domain.ids import created_at, new_id
from shared.domain.images import Image
from shared.domain.manifests import Manifest, ManifestRequest
from shared.domain.models import Model
from shared.domain.ports import Clock, Store
from shared.resources.found import found, referred
from shared.resources.removal import Reference, remove_unless_referred
from shared.resources.repeatability import UNREPEATED, Once
from shared.resources.tags import UNCONDITIONAL, Preconditions
from shared.resources.versions import commit_next_version


class Manifests:
    """Registered manifests of an account."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def register(self, account: Account, request: ManifestRequest, once: Once = UNREPEATED) -> Manifest:
        """Register it as the next version of its name; raises InvalidRequest when a model is not registered."""
        identifier = new_id(self._clock.now(), self._clock.random_bits)

        def manifest(version: int) -> Manifest:
            return Manifest(**request.__dict__, id=identifier, version=version, created_time=created_at(identifier))

        while True:
            touches = await self._touched_models(account, request.model_ids)

            def changes(version: int, touches: list[Change] = touches) -> list[Change]:
                return [*once.recording(manifest(version)), Insert(manifest(version)), *touches]

            try:
                version = await commit_next_version(self._store, account, Manifest, request.name, changes)
            except PreconditionFailed:
                continue  # a model was used or deleted in between: look again
            return manifest(version)

    async def _touched_models(self, account: Account, model_ids: tuple[str, ...]) -> list[Change]:
        fields = {model_id: f"modelIds[{index}]" for index, model_id in enumerate(model_ids)}
        reads = [referred(self._store, account, Model, field, model_id) for model_id, field in fields.items()]
        return [Touch(stored) for stored in await asyncio.gather(*reads)]

    async def get(self, account: Account, identifier: str) -> Manifest:
        """One manifest; raises NotFound."""
        return (await found(self._store, account, Manifest, identifier)).document

    async def page(self, account: Account, filters: ManifestFilters, count: int, after: str | None) -> Page[Manifest]:
        """Manifests that fit the filters, newest first."""
        return await self._store.page(account, Manifest, filters.given(), count=count, after=after)

    async def delete(self, account: Account, identifier: str, preconditions: Preconditions = UNCONDITIONAL) -> bool:
        """Delete it; False when it is not there. Raises PreconditionFailed, and Conflict while an image was made from it."""
        used = Reference(Image, {"manifestId": identifier})
        return await remove_unless_referred(self._store, account, Manifest, identifier, used, preconditions=preconditions)
