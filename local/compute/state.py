"""What each service is to be. It outlives the node: one JSON file a service, replaced in one piece."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from local.compute.autoscaler import ScalePolicy
from shared.compute.local_process import DeploymentRequest, KeyDigests, RolloutStatus
from shared.domain.errors import Conflict, NotFound
from shared.domain.operations import ErrorResponse
from shared.domain.service_settings import DEFAULT_CONCURRENCY, AutoScaler
from shared.domain.wire import Wire

GIVEN_UP = ErrorResponse(code="DeploymentGivenUp", message="The deployment was given up.", status_code=409)


class Deployment(DeploymentRequest):
    """A deployment that was asked for, by its id."""

    id: str

    @classmethod
    def of(cls, identifier: str, request: DeploymentRequest) -> Self:
        """What was asked for under that id."""
        return cls(id=identifier, **request.__dict__)

    @property
    def slots(self) -> int:
        """How many requests one replica works on at once."""
        return self.settings.max_concurrent_requests_per_container or DEFAULT_CONCURRENCY

    @property
    def scale_policy(self) -> ScalePolicy | None:
        """How its count follows its load; None when the count is fixed."""
        scaler = self.settings.settled().auto_scaler or AutoScaler()
        if not scaler.autoscale_enabled:
            return None
        return ScalePolicy(
            lowest=scaler.min_replicas or 0,
            highest=scaler.max_replicas or 1,
            target_utilization=scaler.target_utilization or 0,
            slots_per_replica=self.slots,
            period=scaler.refresh_period_in_seconds or 1,
        )

    def first_count(self, running: int) -> int:
        """How many replicas it starts with where `running` answer now; at least one shows that a scaled one can start."""
        policy = self.scale_policy
        return max(policy.bounded(running), 1) if policy else self.settings.num_replicas or 0


class Failed(Wire):
    """A deployment that never will answer, and why."""

    id: str
    error: ErrorResponse


class ServiceState(Wire):
    """One service: the deployment that answers, the one that is to, the one before, the one that failed last."""

    id: str
    keys: KeyDigests | None = None
    live: Deployment | None = None
    pending: Deployment | None = None
    previous: Deployment | None = None
    failed: Failed | None = None
    withdrawn: bool = False

    @property
    def name(self) -> str | None:
        """What its callers call it; None when it takes no calls."""
        deployment = None if self.withdrawn else self.live or self.pending
        return deployment.service_name if deployment else None

    def deploying(self, deployment: Deployment) -> "ServiceState":
        """That deployment is to answer; one that is known already changes nothing.

        The first one brings the keys; from then on they change by `with_keys` only, so that a slow update cannot bring
        an old key back. Raises Conflict when the service is withdrawn.
        """
        if self.withdrawn:
            raise Conflict("The service is being deleted.", code="ServiceWithdrawn")
        if any(known and known.id == deployment.id for known in (self.live, self.pending, self.previous, self.failed)):
            return self
        return self.but(pending=deployment, keys=self.keys or deployment.keys)

    def switched(self) -> "ServiceState":
        """The pending deployment answers."""
        return self.but(live=self.pending, previous=self.live, pending=None)

    def failing(self, error: ErrorResponse) -> "ServiceState":
        """The pending deployment never will answer."""
        return self.but(pending=None, failed=self.pending and Failed(id=self.pending.id, error=error))

    def rolled_back(self, deployment_id: str) -> "ServiceState":
        """That deployment is given up, and not taken again; where it answers, the one before is to take its place."""
        state = self
        if self.failed is None or self.failed.id != deployment_id:
            state = state.but(failed=Failed(id=deployment_id, error=GIVEN_UP))
        if self.live and self.live.id == deployment_id:
            return state.but(live=self.previous and self.live, pending=self.pending or self.previous, previous=None)
        if self.pending and self.pending.id == deployment_id:
            return state.but(pending=None)
        return state

    def with_keys(self, keys: KeyDigests) -> "ServiceState":
        """These keys are good, and no others."""
        return self.but(keys=keys)

    def withdraw(self) -> "ServiceState":
        """It takes no more calls, ever."""
        return self.but(withdrawn=True, pending=None)

    def rollout(self, deployment_id: str, waiting_for: str) -> RolloutStatus:
        """How that deployment fares; `waiting_for` says what a pending one lacks. Raises NotFound for an unknown one."""
        if self.failed and self.failed.id == deployment_id:
            return RolloutStatus(error=self.failed.error)
        if self.live and self.live.id == deployment_id:
            return RolloutStatus(ready=True)
        if self.pending and self.pending.id == deployment_id:
            return RolloutStatus(waiting_for=waiting_for)
        raise NotFound(f"Service {self.id} has no deployment {deployment_id} here.", code="DeploymentNotFound")


class ServiceFiles:
    """Keeps the states of services in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> Iterator[ServiceState]:
        """All that are kept."""
        for path in sorted(self._folder.glob("*.json")):
            yield ServiceState.from_stored(path.read_bytes())

    def save(self, state: ServiceState) -> None:
        """It survives the loss of power from the moment this returns."""
        path = self._path(state.id)
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            file.write(state.stored_text())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def remove(self, service_id: str) -> None:
        """Harmless when it is not kept."""
        self._path(service_id).unlink(missing_ok=True)

    def _path(self, service_id: str) -> Path:
        return self._folder / f"{service_id}.json"
