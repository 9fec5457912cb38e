"""The workflow that creates or updates a service: apply, wait until the deployment is ready, switch the records over."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from shared.domain.accounts import Account
from shared.domain.computing import Compute, Computes, LogQuery, ServiceLogs, ServiceSpec
from shared.domain.deployments import Deployment
from shared.domain.documents import Change, Replace, Stored
from shared.domain.errors import DeployFailed, Detail, ServiceError
from shared.domain.images import Image
from shared.domain.models import Model
from shared.domain.operations import ErrorResponse, Operation
from shared.domain.ports import Clock, Store
from shared.domain.service_settings import ServiceSettings
from shared.domain.services import KeyGenerations, Service
from shared.orchestration.cancelling import still_leased
from shared.orchestration.outcome import Done, Failure, Next, Outcome, Step, Wait
from shared.resources.applying import applied
from shared.resources.found import found
from shared.resources.keys import KeyRing
from shared.resources.specs import Specs

_KEPT_LINES = LogQuery(tail=1000)
_logger = logging.getLogger(__name__)


class DeployService:
    """Steps: begin → rollout → finish. The deployment, image and settings asked for are in the checkpoint."""

    def __init__(
        self, store: Store, clock: Clock, *, computes: Computes, key_ring: KeyRing, specs: Specs, logs: ServiceLogs
    ) -> None:
        self._store = store
        self._clock = clock
        self._computes = computes
        self._key_ring = key_ring
        self._specs = specs
        self._logs = logs

    @property
    def steps(self) -> Mapping[str, Step]:
        """The steps, by name."""
        return {"begin": self._begin, "rollout": self._rollout, "finish": self._finish}

    def overdue(self, operation: Operation) -> ServiceError:
        """The error of a rollout that took too long (client-facts.md, 19)."""
        waited = f" It waited for {operation.waiting_for}." if operation.waiting_for else ""
        return DeployFailed(
            f"The service was not ready by its deadline.{waited}", code="DeploymentTimedOut", status_code=504
        )

    async def undo(self, account: Account, operation: Operation) -> None:
        """What ran before goes on; what was begun is given up, and what it printed is kept."""
        service = (await found(self._store, account, Service, operation.resource_id)).document
        compute = await self._compute(account, service)
        await self._keep_logs(account, service, compute)
        await applied(
            lambda: self._specs.running(account, service),
            lambda worked: compute.ensure_rolled_back(service.id, _deployment_id(operation), worked),
        )

    async def failed(self, account: Account, operation: Operation, error: ErrorResponse, *, undone: bool) -> Failure:
        """The deployment is failed, and the service is what it was before."""
        service = await found(self._store, account, Service, operation.resource_id)
        deployment = await self._deployment(account, _deployment_id(operation))
        told = _rolled_back(error, service.document) if undone else error
        return Failure(
            told,
            [
                Replace(service, service.document.not_deployed(told)),
                Replace(deployment, deployment.document.failed(told, self._clock.now())),
            ],
        )

    async def cancelled(self, account: Account, operation: Operation) -> Sequence[Change]:
        """The deployment is cancelled, and the service is what it was before."""
        service = await found(self._store, account, Service, operation.resource_id)
        deployment = await self._deployment(account, _deployment_id(operation))
        return [
            Replace(service, service.document.cancelled()),
            Replace(deployment, deployment.document.cancelled(self._clock.now())),
        ]

    async def _begin(self, account: Account, operation: Operation) -> Outcome:
        """Apply it, when no worker can still be at work on the repair that the update has cancelled."""
        if waiting := await still_leased(self._store, account, operation):
            return waiting
        service = (await found(self._store, account, Service, operation.resource_id)).document
        deployment = await self._deployment(account, _deployment_id(operation))
        compute = await self._compute(account, service)
        await applied(lambda: self._spec(account, service, operation), compute.ensure_deployment)
        return Next("rollout", changes=[Replace(deployment, deployment.document.running())])

    async def _rollout(self, account: Account, operation: Operation) -> Outcome:
        service = (await found(self._store, account, Service, operation.resource_id)).document
        compute, left = await self._compute(account, service), operation.checkpoint.get("rollout")
        spec = await self._spec(account, service, operation)
        rollout = await compute.rollout(spec, left if isinstance(left, dict) else {})
        if rollout.error is not None:
            raise _as_error(rollout.error)
        if rollout.ready:
            return Next("finish")
        return Wait(rollout.delay, rollout.waiting_for, {"rollout": {**rollout.left}})

    async def _finish(self, account: Account, operation: Operation) -> Outcome:
        service = await found(self._store, account, Service, operation.resource_id)
        compute = await self._compute(account, service.document)
        generations = await found(self._store, account, KeyGenerations, operation.resource_id)
        await compute.ensure_keys(operation.resource_id, self._key_ring.keys(account, generations.document))
        image = (await found(self._store, account, Image, _image_id(operation))).document
        deployment = await self._deployment(account, _deployment_id(operation))
        deployed = service.document.deployed(
            deployment_id=deployment.document.id,
            image=image.summary(),
            models=await self._models(account, image),
            settings=_settings(operation),
            scoring_uri=compute.scoring_uri(account, service.document.name),
        )
        changes: list[Change] = [
            Replace(service, deployed),
            Replace(deployment, deployment.document.succeeded()),
            # A key made anew since it was read fails the commit, so that a stale one never stays in force.
            Replace(generations, generations.document),
        ]
        if service.document.deployment_id:
            previous = await self._deployment(account, service.document.deployment_id)
            changes.append(Replace(previous, previous.document.expired(self._clock.now())))
        return Done(changes)

    async def _compute(self, account: Account, service: Service) -> Compute:
        return await self._computes.find(account, service.compute_resource.id, field="computeResource.id")

    async def _spec(self, account: Account, service: Service, operation: Operation) -> ServiceSpec:
        image = (await found(self._store, account, Image, _image_id(operation))).document
        if not image.image_location or not image.image_digest:
            raise DeployFailed(f"image {image.id} was never built.")
        return await self._specs.of(account, service, _deployment_id(operation), image, _settings(operation))

    async def _keep_logs(self, account: Account, service: Service, compute: Compute) -> None:
        """What the replicas printed that are given up. Without it the rollback goes on all the same.

        When they are gone, an earlier attempt has kept it.
        """
        try:
            if logs := await compute.logs(service.id, _KEPT_LINES):
                await self._logs.keep(account, service.id, logs)
        except ServiceError as error:
            _logger.warning("service=%s: the logs of its failed deployment are not kept: %s", service.id, error.message)

    async def _deployment(self, account: Account, identifier: str) -> Stored[Deployment]:
        return await found(self._store, account, Deployment, identifier)

    async def _models(self, account: Account, image: Image) -> tuple[Model, ...]:
        ids = dict.fromkeys(image.manifest.model_ids)
        read = await asyncio.gather(*(found(self._store, account, Model, model_id) for model_id in ids))
        return tuple(stored.document for stored in read)


def _deployment_id(operation: Operation) -> str:
    return str(operation.checkpoint["deploymentId"])


def _image_id(operation: Operation) -> str:
    return str(operation.checkpoint["imageId"])


def _settings(operation: Operation) -> ServiceSettings:
    return ServiceSettings.from_stored(operation.checkpoint["settings"])


def _as_error(error: ErrorResponse) -> DeployFailed:
    details = [Detail(detail.code, detail.message) for detail in error.details or ()]
    return DeployFailed(error.message, code=error.code, status_code=error.status_code, details=details)


def _rolled_back(error: ErrorResponse, service: Service) -> ErrorResponse:
    """The error and what became of the service: a rollback is said, not left to be found out."""
    if service.deployment_id is None:
        return error
    return error.but(message=f"{error.message} The service was rolled back to deployment {service.deployment_id}.")
