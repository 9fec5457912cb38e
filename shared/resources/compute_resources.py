"""Use cases of compute resources, an extension of api.md: where the services of an account can run."""

from shared.domain.accounts import Account
from shared.domain.compute_resources import (
    ComputeKind,
    ComputeResourceRecord,
    ComputeResourceRequest,
    compute_name,
)
from shared.domain.computing import Compute, ComputeKinds
from shared.domain.documents import Claim, Insert, Page, Release, Remove, Replace, Stored, Touch
from shared.domain.errors import Conflict, Detail, InvalidRequest, NotFound, PreconditionFailed, Taken, foreign
from shared.domain.filters import Filters
from shared.domain.ids import created_at, new_id
from shared.domain.operations import Operation
from shared.domain.plans import DELETE_SERVICE
from shared.domain.ports import Clock, Store
from shared.domain.services import Service
from shared.resources.every import every
from shared.resources.removal import Reference, refuse_while_referred
from shared.resources.repeatability import UNREPEATED, Once
from shared.resources.tags import UNCONDITIONAL, Preconditions

LOCAL = "local"
_MOST_NAMED = 100


class ComputeResources:
    """The compute resources of an account, and the port Computes over them. Names are compared without regard to case.

    Where the settings give a compute node of this machine, every account has it under the name `local`.
    """

    def __init__(self, store: Store, clock: Clock, kinds: ComputeKinds) -> None:
        self._store = store
        self._clock = clock
        self._kinds = kinds

    async def find(self, account: Account, resource_id: str, *, field: str) -> Compute:
        """The compute of that id; raises InvalidRequest naming the field, and the compute resources there are."""
        return (await self.find_to_use(account, resource_id, field=field))[0]

    async def find_to_use(self, account: Account, resource_id: str, *, field: str) -> tuple[Compute, Touch]:
        """The same, and what a commit holds that begins to refer to it."""
        stored = await self._stored(account, compute_name(resource_id))
        if stored is None:
            there_are = ", ".join(f"…/operationalizationClusters/{name}" for name in await self._names(account)) or "none"
            message = f"{field}: got '{foreign(resource_id)}', no compute resource of this account; there are: {there_are}."
            raise InvalidRequest(message, code="ComputeResourceNotFound", details=[Detail("InvalidReference", message)])
        return self._kinds.compute(stored.document.settings), Touch(stored)

    async def get(self, account: Account, name: str) -> ComputeResourceRecord:
        """The one of that name; raises NotFound."""
        stored = await self._stored(account, name.lower())
        if stored is None:
            raise NotFound(f"There is no compute resource '{foreign(name, 80)}' in this account.", code="ComputeNotFound")
        return stored.document

    async def page(self, account: Account, filters: Filters, count: int, after: str | None) -> Page[ComputeResourceRecord]:
        """Compute resources that fit the filters, newest first."""
        await self._stored(account, LOCAL)
        return await self._store.page(account, ComputeResourceRecord, filters.given(), count=count, after=after)

    async def put(
        self,
        account: Account,
        name: str,
        request: ComputeResourceRequest,
        once: Once = UNREPEATED,
        *,
        preconditions: Preconditions = UNCONDITIONAL,
    ) -> ComputeResourceRecord:
        """Make it what is asked, when it can be reached and all that is needed there is allowed.

        Raises InvalidRequest naming what is missing, Conflict for a change that services which run there forbid, and
        PreconditionFailed.
        """
        if request.kind is not ComputeKind.LOCAL:
            self._refuse_given(name)
        preconditions.check(_tag(await self._stored(account, name.lower())))
        settings = await self._kinds.checked(request)
        while True:
            stored = await self._stored(account, name.lower())
            preconditions.check(_tag(stored))
            if stored is not None:
                await self._refuse_moving(account, stored.document, settings)
            record = self._record(name, stored, settings)
            changes = [Replace(stored, record)] if stored else [Claim(_claim(name), record.id), Insert(record)]
            try:
                await self._store.commit(account, [*once.recording(record), *changes])
            except (PreconditionFailed, Taken) as lost:
                if isinstance(lost, Taken) and lost.key != _claim(name):
                    raise
                continue
            return record

    async def delete(self, account: Account, name: str, preconditions: Preconditions = UNCONDITIONAL) -> bool:
        """Delete it; False when it is not there. Raises Conflict while services run on it, or are being cleared from it,
        and PreconditionFailed."""
        self._refuse_given(name)
        while True:
            stored = await self._stored(account, name.lower())
            if stored is None:
                return False
            preconditions.check(stored.document.tag)
            await self._refuse_used(account, stored.document)
            try:
                await self._store.commit(account, [Remove(stored), Release(_claim(name))])
            except PreconditionFailed:
                continue
            return True

    def _record(
        self, name: str, stored: Stored[ComputeResourceRecord] | None, settings: ComputeResourceRequest
    ) -> ComputeResourceRecord:
        now = self._clock.now()
        if stored is not None:
            return stored.document.but(settings=settings, updated_at=now)
        identifier = new_id(now, self._clock.random_bits)
        return ComputeResourceRecord(
            id=identifier,
            name=name,
            created_at=created_at(identifier),
            updated_at=created_at(identifier),
            settings=settings,
        )

    async def _stored(self, account: Account, name: str) -> Stored[ComputeResourceRecord] | None:
        held = await self._store.held(account, _claim(name))
        if held is None and name == LOCAL and self._kinds.local:
            await self._ensure_local(account)
            held = await self._store.held(account, _claim(name))
        return await self._store.get(account, ComputeResourceRecord, held.value) if held else None

    async def _ensure_local(self, account: Account) -> None:
        record = self._record(LOCAL, None, ComputeResourceRequest(kind=ComputeKind.LOCAL))
        try:
            await self._store.commit(account, [Claim(_claim(LOCAL), record.id), Insert(record)])
        except Taken:
            return  # somebody else was first

    async def _names(self, account: Account) -> list[str]:
        return sorted(record.name for record in (await self.page(account, Filters(), _MOST_NAMED, None)).items)

    def _refuse_given(self, name: str) -> None:
        if self._kinds.local and name.lower() == LOCAL:
            raise Conflict("The settings of this app give the compute resource 'local'.", code="ComputeInSettings")

    async def _refuse_moving(
        self, account: Account, record: ComputeResourceRecord, settings: ComputeResourceRequest
    ) -> None:
        """Services keep their address and their objects: what these depend on stays while there are any."""
        if _place(record.settings) != _place(settings):
            await self._refuse_used(account, record)

    async def _refuse_used(self, account: Account, record: ComputeResourceRecord) -> None:
        services = Reference(Service, {"computeName": record.name.lower()})
        await refuse_while_referred(self._store, account, ComputeResourceRecord, record.name, (services,))
        async for operation in every(self._store, account, Operation, {"active": "true"}):
            on = str(operation.checkpoint.get("computeResourceId", ""))
            if operation.workflow == DELETE_SERVICE and compute_name(on) == record.name.lower():
                raise Conflict(f"compute {record.name} is still used by operation {operation.id}.", code="ComputeInUse")


def _tag(stored: Stored[ComputeResourceRecord] | None) -> str | None:
    return stored.document.tag if stored else None


def _claim(name: str) -> str:
    return f"compute-name:{name.lower()}"


def _place(settings: ComputeResourceRequest) -> tuple[object, ...]:
    """What services' address and the kinds of their objects come from."""
    if settings.cluster is None:
        return (settings.kind,)
    cluster, front_end = settings.cluster, settings.cluster.front_end
    led = (front_end.address, front_end.kind, front_end.path, front_end.claim_namespace)
    return (settings.kind, cluster.namespace, *led, cluster.scaling.kind)
