"""Use cases of models. Source: api.md, 1–3; client-facts.md, 16."""

from shared.domain.accounts import Account
from shared.domain.documents import Change, Insert, Page
from shared.domain.filters import ModelFilters
from shared.domain.ids import created_at, new_id
from shared.domain.manifests import Manifest
from shared.domain.models import Model, ModelRequest
from shared.domain.ports import Clock, Store
from shared.resources.found import found
from shared.resources.removal import Reference, remove_unless_referred
from shared.resources.repeatability import UNREPEATED, Once
from shared.resources.tags import UNCONDITIONAL, Preconditions
from shared.resources.versions import commit_next_version


class Models:
    """Registered models of an account."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def register(self, account: Account, request: ModelRequest, once: Once = UNREPEATED) -> Model:
        """Register it as the next version of its name."""
        identifier = new_id(self._clock.now(), self._clock.random_bits)

        def model(version: int) -> Model:
            return Model(**request.__dict__, id=identifier, version=version, created_at=created_at(identifier))

        def changes(version: int) -> list[Change]:
            return [*once.recording(model(version)), Insert(model(version))]

        return model(await commit_next_version(self._store, account, Model, request.name, changes))

    async def get(self, account: Account, identifier: str) -> Model:
        """One model; raises NotFound."""
        return (await found(self._store, account, Model, identifier)).document

    async def page(self, account: Account, filters: ModelFilters, count: int, after: str | None) -> Page[Model]:
        """Models that fit the filters, newest first."""
        return await self._store.page(account, Model, filters.given(), count=count, after=after)

    async def delete(self, account: Account, identifier: str, preconditions: Preconditions = UNCONDITIONAL) -> bool:
        """Delete it; False when it is not there. Raises PreconditionFailed, and Conflict while a manifest uses it."""
        used = Reference(Manifest, {"modelId": identifier})
        return await remove_unless_referred(self._store, account, Model, identifier, used, preconditions=preconditions)
