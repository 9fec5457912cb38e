"""Use cases of services. Source: api.md, 10–16; client-facts.md, 7–14."""

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import suppress

from shared.domain.accounts import Account
from shared.domain.computing import Compute, Computes
from shared.domain.deployments import Deployment
from shared.domain.documents import Change, Claim, Insert, Page, Release, Remove, Replace, Stored, Touch
from shared.domain.errors import Conflict, InvalidRequest, NotFound, OperationInProgress, PreconditionFailed, Taken
from shared.domain.filters import ServiceFilters
from shared.domain.ids import created_at, new_id
from shared.domain.images import Image
from shared.domain.models import Model
from shared.domain.operations import Operation, State
from shared.domain.plans import DELETE_SERVICE, DEPLOY_SERVICE, RESTORE_SERVICE
from shared.domain.ports import Clock, Store
from shared.domain.service_settings import ServiceSettings
from shared.domain.services import (
    AuthKeys,
    KeyGenerations,
    KeyType,
    LastUpdate,
    Service,
    ServiceCreateRequest,
    ServiceUpdateRequest,
)
from shared.domain.wire import Wire
from shared.resources.applying import applied
from shared.resources.found import found, missing, referred
from shared.resources.keys import KeyRing
from shared.resources.operations import Operations
from shared.resources.repeatability import NO_CONTENT, UNREPEATED, Once, remember
from shared.resources.tags import UNCONDITIONAL, Preconditions


class Services:
    """Services of an account: what runs is changed by operations, what is asked is decided here."""

    def __init__(self, store: Store, clock: Clock, *, operations: Operations, computes: Computes, key_ring: KeyRing) -> None:
        self._store = store
        self._clock = clock
        self._operations = operations
        self._computes = computes
        self._key_ring = key_ring

    async def create(self, account: Account, request: ServiceCreateRequest, once: Once = UNREPEATED) -> Operation:
        """Accept a new service; raises Conflict when the account has one of that name."""
        on = request.compute_resource.id
        compute, used = await self._computes.find_to_use(account, on, field="computeResource.id")
        settings = request.settings().settled()
        compute.check(settings)
        image = await self._built_image(account, request.image_id)
        await self._refuse_taken_name(account, request.name)
        service_id, deployment_id, operation_id = self._new_ids(3)
        service = Service(
            id=service_id,
            name=request.name,
            created_at=created_at(service_id),
            updated_at=created_at(service_id),
            image=image.document.summary(),
            models=await self._models(account, image.document),
            compute_resource=request.compute_resource,
            settings=settings,
            operation_id=operation_id,
        )
        operation = self._deploy_operation(operation_id, service_id, deployment_id, image.document.id, settings)
        changes: list[Change] = [
            *once.recording(operation),
            Claim(_name_claim(request.name), service_id),
            Insert(service),
            Insert(KeyGenerations(id=service_id)),
            Insert(_deployment(deployment_id, service, image.document.id)),
            Insert(operation),
            Touch(image),
            used,
        ]
        try:
            await self._store.commit(account, changes)
        except Taken as taken:
            if taken.key != _name_claim(request.name):
                raise
            await self._refuse_taken_name(account, request.name)
            raise _name_taken(request.name, "a service of this account has") from taken
        except PreconditionFailed as gone:
            await self._computes.find(account, on, field="computeResource.id")
            raise _image_gone(request.image_id) from gone
        await self._operations.start(account, operation)
        return operation

    async def update(
        self,
        account: Account,
        identifier: str,
        request: ServiceUpdateRequest,
        once: Once = UNREPEATED,
        *,
        preconditions: Preconditions = UNCONDITIONAL,
    ) -> Operation:
        """Accept an update; what the service runs changes when the operation succeeds.

        Raises NotFound and Conflict, and PreconditionFailed when the service is not as expected, unless it is so because
        this very update was accepted before, its answer having been lost (RFC 9110, 13.1.1).
        """
        asked = LastUpdate(expected=preconditions.text, request=fingerprint(request))
        while True:
            stored = await found(self._store, account, Service, identifier)
            service = stored.document
            refused = preconditions.refusal(service.tag)
            if refused is not None:
                before = service.last_update
                if before is not None and before.but(operation_id="") == asked:
                    with suppress(NotFound):  # it was so long ago that its operation is forgotten
                        return (await found(self._store, account, Operation, before.operation_id)).document
                raise refused
            overtaken = await self._overtaken(account, service)
            settings = service.settings.merged(request.settings())
            (await self._compute(account, service)).check(settings)
            image = await self._built_image(account, request.image_id or service.image.id)
            deployment_id, operation_id = self._new_ids(2)
            operation = self._deploy_operation(
                operation_id, service.id, deployment_id, image.document.id, settings, cancelled=service.operation_id
            )
            changes: list[Change] = [
                *once.recording(operation),
                Replace(stored, service.changing(asked.but(operation_id=operation_id), self._clock.now())),
                Insert(_deployment(deployment_id, service, image.document.id)),
                Insert(operation),
                Touch(image),
                *(await self._cancellation(account, overtaken) if overtaken else ()),
            ]
            try:
                await self._store.commit(account, changes)
            except PreconditionFailed:
                continue  # the service or the image has changed or gone since: decide again
            if overtaken:
                self._operations.tell_cancelled(overtaken.document)
            await self._operations.start(account, operation)
            return operation

    async def get(self, account: Account, identifier: str) -> Service:
        """One service; raises NotFound."""
        return (await found(self._store, account, Service, identifier)).document

    async def id_of(self, account: Account, name: str) -> str | None:
        """The id of the service of that name, None when there is none."""
        held = await self._store.held(account, _name_claim(name))
        return held.value if held else None

    async def page(self, account: Account, filters: ServiceFilters, count: int, after: str | None) -> Page[Service]:
        """Services that fit the filters, newest first."""
        return await self._store.page(account, Service, filters.given(), count=count, after=after)

    async def delete(
        self,
        account: Account,
        identifier: str,
        preconditions: Preconditions = UNCONDITIONAL,
        *,
        once: Once = UNREPEATED,
    ) -> bool:
        """Delete it: when this returns the service takes no calls; what is left to clear is an operation.

        False when there is no such service. Taken in any state; what is under way is cancelled. Raises Unavailable
        when the compute resource cannot be told: the delete is accepted even so, and can be repeated. Raises
        PreconditionFailed when the service is not as expected.
        """
        while True:
            stored = await self._store.get(account, Service, identifier)
            if stored is None:
                await self._withdraw_again(account, identifier)
                await remember(self._store, account, once, NO_CONTENT)
                return False
            preconditions.check(stored.document.tag)
            (operation_id,) = self._new_ids(1)
            try:
                under_way = await self._under_way(account, stored.document)
                changes, operation = await self._delete_changes(account, stored, under_way, operation_id)
                await self._store.commit(account, [*once.recording(NO_CONTENT), *changes])
            except PreconditionFailed:
                continue
            if under_way:
                self._operations.tell_cancelled(under_way.document)
            await self._operations.start(account, operation)
            compute = await self._compute(account, stored.document)
            await compute.ensure_withdrawn(identifier)
            return True

    async def keys(self, account: Account, identifier: str) -> AuthKeys:
        """Both keys; raises NotFound."""
        return self.keys_of(account, await self.key_generations(account, identifier))

    async def key_generations(self, account: Account, identifier: str) -> KeyGenerations:
        """How often each key was made anew, whose tag is that of the keys; raises NotFound."""
        return (await self._generations(account, identifier)).document

    def keys_of(self, account: Account, generations: KeyGenerations) -> AuthKeys:
        """Both keys, as they are after that many regenerations."""
        return self._key_ring.keys(account, generations)

    async def regenerate_key(
        self,
        account: Account,
        identifier: str,
        key_type: KeyType,
        once: Once = UNREPEATED,
        *,
        preconditions: Preconditions = UNCONDITIONAL,
    ) -> KeyGenerations:
        """Make one key anew; it is good, and the old one refused, when `enforce_keys` has returned.

        Raises PreconditionFailed when the keys are not as expected.
        """
        while True:
            stored = await self._generations(account, identifier)
            preconditions.check(stored.document.tag)
            generations = stored.document.regenerated(key_type)
            try:
                await self._store.commit(account, [*once.recording(generations), Replace(stored, generations)])
            except PreconditionFailed:
                continue
            return generations

    async def enforce_keys(self, account: Account, identifier: str) -> None:
        """The keys that are stored are those in force from the moment this returns. Raises NotFound and Unavailable."""
        service = await self.get(account, identifier)
        compute = await self._compute(account, service)
        await applied(lambda: self.keys(account, identifier), lambda keys: compute.ensure_keys(identifier, keys))

    async def _compute(self, account: Account, service: Service) -> Compute:
        return await self._computes.find(account, service.compute_resource.id, field="computeResource.id")

    async def _generations(self, account: Account, identifier: str) -> Stored[KeyGenerations]:
        """They are there as long as the service is; raises NotFound."""
        stored = await self._store.get(account, KeyGenerations, identifier)
        return stored or missing(Service, identifier)

    async def _built_image(self, account: Account, image_id: str) -> Stored[Image]:
        stored = await referred(self._store, account, Image, "imageId", image_id)
        state = stored.document.creation_state
        if state is not State.SUCCEEDED:
            raise InvalidRequest(
                f"imageId: got '{image_id}', an image that is {state}; accepts one that is {State.SUCCEEDED}."
            )
        return stored

    async def _models(self, account: Account, image: Image) -> tuple[Model, ...]:
        ids = dict.fromkeys(image.manifest.model_ids)
        read = await asyncio.gather(*(self._store.get(account, Model, model_id) for model_id in ids))
        return tuple(stored.document for stored in read if stored)

    async def _refuse_taken_name(self, account: Account, name: str) -> None:
        """Raises Conflict saying which service has the name, how it fares, and what may be done."""
        holder = await self.id_of(account, name)
        stored = await self._store.get(account, Service, holder) if holder else None
        if stored is not None:
            there = f"service {stored.document.id} has: it is {stored.document.state}, and PUT changes it, DELETE ends it"
            raise _name_taken(name, there)

    def _new_ids(self, count: int) -> list[str]:
        now = self._clock.now()
        return [new_id(now, self._clock.random_bits) for _ in range(count)]

    def _deploy_operation(
        self,
        identifier: str,
        service_id: str,
        deployment_id: str,
        image_id: str,
        settings: ServiceSettings,
        *,
        cancelled: str | None = None,
    ) -> Operation:
        return self._operations.accepted(
            DEPLOY_SERVICE,
            identifier=identifier,
            resource_id=service_id,
            checkpoint={
                "deploymentId": deployment_id,
                "imageId": image_id,
                "settings": settings.stored(),
                **({"cancelled": cancelled} if cancelled else {}),
            },
        )

    async def _overtaken(self, account: Account, service: Service) -> Stored[Operation] | None:
        """A repair that is under way, which an update ends: all that it puts back is applied anew. Raises
        OperationInProgress when it is anything else."""
        under_way = await self._under_way(account, service)
        if under_way is not None and under_way.document.workflow != RESTORE_SERVICE:
            raise OperationInProgress(f"service {service.id}", under_way.document.id)
        return under_way

    async def _under_way(self, account: Account, service: Service) -> Stored[Operation] | None:
        return await found(self._store, account, Operation, service.operation_id) if service.operation_id else None

    async def _delete_changes(
        self, account: Account, stored: Stored[Service], under_way: Stored[Operation] | None, operation_id: str
    ) -> tuple[Sequence[Change], Operation]:
        service, now = stored.document, self._clock.now()
        checkpoint = {"computeResourceId": service.compute_resource.id, "cancelled": service.operation_id}
        operation = self._operations.accepted(
            DELETE_SERVICE, identifier=operation_id, resource_id=service.id, checkpoint={**checkpoint}
        )
        changes: list[Change] = [
            Remove(stored),
            Release(_name_claim(service.name)),
            Claim(deleting_claim(service.id), service.compute_resource.id),
            Insert(operation),
        ]
        generations = await self._store.get(account, KeyGenerations, service.id)
        if generations:
            changes.append(Remove(generations))
        if service.deployment_id:
            current = await found(self._store, account, Deployment, service.deployment_id)
            changes.append(Replace(current, current.document.expired(now)))
        if under_way:
            changes += await self._cancellation(account, under_way)
        return changes, operation

    async def _cancellation(self, account: Account, under_way: Stored[Operation]) -> list[Change]:
        """The operation that was changing the service ends with it, and so does the deployment that it began, if any."""
        now = self._clock.now()
        changes: list[Change] = [Replace(under_way, under_way.document.cancelled(now))]
        deployment_id = under_way.document.checkpoint.get("deploymentId")
        if isinstance(deployment_id, str):
            pending = await found(self._store, account, Deployment, deployment_id)
            changes.append(Replace(pending, pending.document.cancelled(now)))
        return changes

    async def _withdraw_again(self, account: Account, service_id: str) -> None:
        """A delete that was accepted while compute was away: its repetition answers only when calls have ended."""
        deleting = await self._store.held(account, deleting_claim(service_id))
        if deleting:
            compute = await self._computes.find(account, deleting.value, field="computeResource.id")
            await compute.ensure_withdrawn(service_id)


def fingerprint(request: Wire) -> str:
    """What tells one request's body from another's."""
    return hashlib.sha256(request.json_text().encode()).hexdigest()


def _deployment(identifier: str, service: Service, image_id: str) -> Deployment:
    return Deployment(
        id=identifier,
        service_id=service.id,
        service_name=service.name,
        image_id=image_id,
        created_at=created_at(identifier),
    )


def _name_claim(name: str) -> str:
    return f"service-name:{name}"


def deleting_claim(service_id: str) -> str:
    """Held while a deleted service is being cleared; its value is the compute resource's id."""
    return f"deleting-service:{service_id}"


def _name_taken(name: str, there: str) -> Conflict:
    return Conflict(f"name: got '{name}', which {there}; accepts a name that is free.", code="NameTaken")


def _image_gone(image_id: str) -> InvalidRequest:
    return InvalidRequest(f"imageId: got '{image_id}', which was deleted meanwhile; accepts the id of an image.")
