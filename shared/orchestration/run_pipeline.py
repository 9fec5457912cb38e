"""The workflow that carries out a pipeline: each part by the use case that its own endpoint calls, exactly once."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from shared.domain.accounts import Account
from shared.domain.documents import Change, Document
from shared.domain.errors import Conflict, Detail, OperationInProgress, ServiceError, Unavailable
from shared.domain.manifests import Manifest
from shared.domain.models import Model
from shared.domain.operations import ErrorResponse, Operation, State
from shared.domain.pipelines import PipelineRequest
from shared.domain.services import ServiceCreateRequest
from shared.domain.wire import Json
from shared.orchestration.outcome import Done, Failure, Next, Outcome, Step, Wait
from shared.resources.images import Images
from shared.resources.manifests import Manifests
from shared.resources.models import Models
from shared.resources.operations import Operations
from shared.resources.repeatability import Once, Repeatable, Requests
from shared.resources.services import Services

_LOOK_AGAIN = timedelta(seconds=2)
_KEPT = timedelta(days=30)
_CHILDREN = ("image", "service")


class RunPipeline:
    """Steps: model → manifest → image → service, those that the request has. The ids made are in the checkpoint."""

    def __init__(
        self,
        *,
        requests: Requests,
        operations: Operations,
        models: Models,
        manifests: Manifests,
        images: Images,
        services: Services,
    ) -> None:
        self._requests = requests
        self._operations = operations
        self._models = models
        self._manifests = manifests
        self._images = images
        self._services = services

    @property
    def steps(self) -> Mapping[str, Step]:
        """The steps, by name."""
        return {"model": self._model, "manifest": self._manifest, "image": self._image, "service": self._service}

    def overdue(self, operation: Operation) -> ServiceError:
        """The error of a pipeline that took too long."""
        waited = f" It waited for {operation.waiting_for}." if operation.waiting_for else ""
        return ServiceError(
            f"The pipeline did not end by its deadline; it was at the step '{operation.step}'.{waited}",
            code="PipelineTimedOut",
            status_code=504,
        )

    async def undo(self, account: Account, operation: Operation) -> Wait | None:
        """What is still being made is cancelled; what was made stays, as it does when each part is asked for by itself."""
        for part in _CHILDREN:
            begun = await self._requests.recorded(account, _request(operation, part), Operation)
            child = await self._operations.get(account, begun.id) if begun else None
            if child is None or child.state.terminal:
                continue
            with suppress(Conflict):  # it fails by itself, or has ended just now
                await self._operations.cancel(account, child.id)
            return Wait(_LOOK_AGAIN, f"the end of operation {child.id}")
        return None

    async def failed(self, account: Account, operation: Operation, error: ErrorResponse, *, undone: bool) -> Failure:
        """The pipeline is an operation and nothing else."""
        return Failure(error)

    async def cancelled(self, account: Account, operation: Operation) -> Sequence[Change]:
        """The pipeline is an operation and nothing else."""
        return ()

    async def _model(self, account: Account, operation: Operation) -> Outcome:
        request = _given(_asked(operation).model)
        model = await self._once(
            account, operation, "model", Model, lambda once: self._models.register(account, request, once)
        )
        return _after(operation, {"modelId": model.id})

    async def _manifest(self, account: Account, operation: Operation) -> Outcome:
        part = _given(_asked(operation).manifest)
        request = part.made_of(_made(operation, "modelId"))
        manifest = await self._once(
            account, operation, "manifest", Manifest, lambda once: self._manifests.register(account, request, once)
        )
        return _after(operation, {"manifestId": manifest.id})

    async def _image(self, account: Account, operation: Operation) -> Outcome:
        part = _given(_asked(operation).image)
        request = part.made_of(_made(operation, "manifestId"))
        begun = await self._once(
            account, operation, "image", Operation, lambda once: self._images.build(account, request, once)
        )
        return await self._when_ended(account, operation, begun, "imageId")

    async def _service(self, account: Account, operation: Operation) -> Outcome:
        part = _given(_asked(operation).service)
        request = part.made_of(_made(operation, "imageId"))
        try:
            begun = await self._once(
                account, operation, "service", Operation, lambda once: self._rolled_out(account, request, once)
            )
        except OperationInProgress as busy:
            return Wait(_LOOK_AGAIN, f"the end of operation {busy.operation_id}")
        return await self._when_ended(account, operation, begun, "serviceId")

    async def _rolled_out(self, account: Account, request: ServiceCreateRequest, once: Once) -> Operation:
        service_id = await self._services.id_of(account, request.name)
        if service_id is not None:
            return await self._services.update(account, service_id, request.as_update(), once)
        try:
            return await self._services.create(account, request, once)
        except Conflict as taken:
            raise Unavailable(f"{taken.message} It is looked for again.", code=taken.code) from taken

    async def _when_ended(self, account: Account, operation: Operation, begun: Operation, made: str) -> Outcome:
        child = await self._operations.get(account, begun.id)
        match child.state:
            case State.SUCCEEDED:
                return _after(operation, {made: child.resource_id})
            case State.FAILED | State.CANCELLED:
                raise _as_error(operation.step, child)
            case _:
                return Wait(_LOOK_AGAIN, f"operation {child.id}")

    async def _once[D: Document](
        self, account: Account, operation: Operation, part: str, kind: type[D], act: Callable[[Once], Awaitable[D]]
    ) -> D:
        return await self._requests.once(account, _request(operation, part), kind, act)


def _request(operation: Operation, part: str) -> Repeatable:
    return Repeatable(f"pipeline:{operation.id}:{part}", part, _KEPT)


def _asked(operation: Operation) -> PipelineRequest:
    return PipelineRequest.from_stored(operation.checkpoint["request"])


def _given[P](part: P | None) -> P:
    if part is None:
        raise LookupError("The pipeline was planned with a part that it does not have.")
    return part


def _made(operation: Operation, key: str) -> str | None:
    value = operation.checkpoint.get(key)
    return value if isinstance(value, str) else None


def _after(operation: Operation, made: Mapping[str, Json]) -> Outcome:
    parts = _asked(operation).parts
    following = parts[parts.index(operation.step) + 1 :]
    return Next(following[0], made) if following else Done(checkpoint=made)


def _as_error(part: str, child: Operation) -> ServiceError:
    error = child.error
    if error is None:
        return ServiceError(f"{part}: operation {child.id} was cancelled.", code="PipelinePartCancelled", status_code=409)
    details = [Detail(detail.code, detail.message) for detail in error.details or ()]
    return ServiceError(
        f"{part}: {error.message}", code=error.code, status_code=error.status_code, details=details, retryable=False
    )
