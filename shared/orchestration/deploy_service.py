"""The workflow that creates or updates a service: apply, wait until the deployment is ready, switch the records over."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

from shared.domain.accounts import Account
from shared.domain.deployments import Deployment
from shared.domain.documents import Change, Replace, Stored
from shared.domain.errors import DeployFailed, Detail, ServiceError
from shared.domain.images import Image
from shared.domain.models import Model
from shared.domain.operations import ErrorResponse, Operation
from shared.domain.ports import Clock, Compute, Computes, ServiceSpec, Store
from shared.domain.services import KeyGenerations, Service, ServiceSettings
from shared.domain.wire import validate
from shared.orchestration.outcome import Done, Failure, Next, Outcome, Step, Wait
from shared.resources.found import found
from shared.resources.keys import KeyRing

_LOOK_AGAIN = timedelta(seconds=1)


class DeployService:
    """Steps: begin → rollout → finish. The deployment, image and settings asked for are in the checkpoint."""

    def __init__(self, store: Store, clock: Clock, computes: Computes, key_ring: KeyRing) -> None:
        self._store = store
        self._clock = clock
        self._computes = computes
        self._key_ring = key_ring

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
        """What ran before goes on; what was begun is given up."""
        service = await found(self._store, account, Service, operation.resource_id)
        await self._compute(service.document).ensure_rolled_back(operation.resource_id, _deployment_id(operation))

    async def failed(self, account: Account, operation: Operation, error: ErrorResponse) -> Failure:
        """The deployment is failed, and the service is what it was before."""
        service = await found(self._store, account, Service, operation.resource_id)
        deployment = await self._deployment(account, _deployment_id(operation))
        return Failure(
            error,
            [
                Replace(service, service.document.not_deployed(error)),
                Replace(deployment, deployment.document.failed(error, self._clock.now())),
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
        service = await found(self._store, account, Service, operation.resource_id)
        image = (await found(self._store, account, Image, _image_id(operation))).document
        if not image.image_location or not image.image_digest:
            raise DeployFailed(f"image {image.id} was never built.")
        deployment = await self._deployment(account, _deployment_id(operation))
        generations = await found(self._store, account, KeyGenerations, operation.resource_id)
        spec = ServiceSpec(
            account=account,
            service_id=service.document.id,
            service_name=service.document.name,
            deployment_id=deployment.document.id,
            image_location=image.image_location,
            image_digest=image.image_digest,
            settings=_settings(operation),
            keys=self._key_ring.keys(account, generations.document),
        )
        await self._compute(service.document).ensure_deployment(spec)
        return Next("rollout", changes=[Replace(deployment, deployment.document.running())])

    async def _rollout(self, account: Account, operation: Operation) -> Outcome:
        service = await found(self._store, account, Service, operation.resource_id)
        rollout = await self._compute(service.document).rollout(operation.resource_id, _deployment_id(operation))
        if rollout.error is not None:
            raise _as_error(rollout.error)
        return Next("finish") if rollout.ready else Wait(_LOOK_AGAIN, rollout.waiting_for)

    async def _finish(self, account: Account, operation: Operation) -> Outcome:
        service = await found(self._store, account, Service, operation.resource_id)
        compute = self._compute(service.document)
        generations = await found(self._store, account, KeyGenerations, operation.resource_id)
        await compute.ensure_keys(operation.resource_id, self._key_ring.keys(account, generations.document))
        image = (await found(self._store, account, Image, _image_id(operation))).document
        deployment = await self._deployment(account, _deployment_id(operation))
        deployed = service.document.deployed(
            deployment_id=deployment.document.id,
            image=image.summary(),
            models=await self._models(account, image),
            settings=_settings(operation),
            scoring_uri=compute.scoring_uri(service.document.name),
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

    def _compute(self, service: Service) -> Compute:
        return self._computes.find(service.compute_resource.id, field="computeResource.id")

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
    settings = operation.checkpoint["settings"]
    return validate(ServiceSettings, settings if isinstance(settings, dict) else {})


def _as_error(error: ErrorResponse) -> DeployFailed:
    details = [Detail(detail.code, detail.message) for detail in error.details or ()]
    return DeployFailed(error.message, code=error.code, status_code=error.status_code, details=details)
