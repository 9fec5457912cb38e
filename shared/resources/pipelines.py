"""Use cases of pipelines: several requests as one operation."""

from shared.domain.accounts import Account
from shared.domain.computing import Computes
from shared.domain.documents import Insert
from shared.domain.ids import new_id
from shared.domain.operations import Operation
from shared.domain.pipelines import PipelineRequest
from shared.domain.plans import RUN_PIPELINE
from shared.domain.ports import Clock, Store
from shared.resources.operations import Operations
from shared.resources.repeatability import UNREPEATED, Once


class Pipelines:
    """Pipelines of an account. They are operations, and leave what they made."""

    def __init__(self, store: Store, clock: Clock, *, operations: Operations, computes: Computes) -> None:
        self._store = store
        self._clock = clock
        self._operations = operations
        self._computes = computes

    async def run(self, account: Account, request: PipelineRequest, once: Once = UNREPEATED) -> Operation:
        """Accept a pipeline; raises InvalidRequest for an unknown compute resource."""
        if request.image is not None:
            await self._computes.find(account, request.image.compute_resource_id, field="image.computeResourceId")
        if request.service is not None:
            on = request.service.compute_resource.id
            compute = await self._computes.find(account, on, field="service.computeResource.id")
            compute.check(request.service.settings().settled())
        identifier = new_id(self._clock.now(), self._clock.random_bits)
        operation = self._operations.accepted(
            RUN_PIPELINE,
            identifier=identifier,
            resource_id=identifier,
            checkpoint={"request": request.stored()},
            steps=request.parts,
        )
        await self._store.commit(account, [*once.recording(operation), Insert(operation)])
        await self._operations.start(account, operation)
        return operation
