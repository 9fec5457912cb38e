"""Services: an image that answers, its settings, and what PUT makes of them. Source: api.md; client-facts.md, 12–14."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import Field

from shared.domain.compute_resources import compute_name
from shared.domain.documents import Document, Term
from shared.domain.errors import InvalidRequest
from shared.domain.fields import ComputeResourceId, DnsName, Id, Quantity
from shared.domain.images import Image
from shared.domain.manifests import Manifest
from shared.domain.models import Model
from shared.domain.operations import ErrorResponse, State
from shared.domain.wire import Timestamp, Wire

MOST_REPLICAS = 1000

Replicas = Annotated[int, Field(ge=0, le=MOST_REPLICAS)]
AtLeastOne = Annotated[int, Field(ge=1, le=MOST_REPLICAS)]


class ComputeType(StrEnum):
    """What kind of compute resource a service runs on."""

    CLUSTER = "Cluster"


class ComputeResource(Wire):
    """Where a service runs."""

    id: ComputeResourceId
    type: ComputeType | None = None


class AutoScaler(Wire):
    """How many replicas there are: utilization is the busy share of their request slots, in percent."""

    autoscale_enabled: bool | None = None
    min_replicas: Replicas | None = None
    max_replicas: AtLeastOne | None = None
    target_utilization: Annotated[int, Field(ge=0, le=100)] | None = None
    refresh_period_in_seconds: Annotated[int, Field(ge=1, le=86400)] | None = None


class ContainerResourceReservation(Wire):
    """What one container is given, as Kubernetes quantities."""

    cpu: Quantity | None = None
    memory: Quantity | None = None


class ModelDataCollection(Wire):
    """Whether inputs and predictions are kept, and where."""

    storage_enabled: bool | None = None
    event_hub_enabled: bool | None = None


class ServiceSettings(Wire):
    """How a service runs: what a create gives and an update changes."""

    num_replicas: Replicas | None = None
    auto_scaler: AutoScaler | None = None
    container_resource_reservation: ContainerResourceReservation | None = None
    max_concurrent_requests_per_container: AtLeastOne | None = None
    app_insights_enabled: bool | None = None
    data_collection: ModelDataCollection | None = None

    def settings(self) -> "ServiceSettings":
        """The settings alone, of a request that says more."""
        return ServiceSettings(**{name: getattr(self, name) for name in ServiceSettings.model_fields})

    def settled(self) -> "ServiceSettings":
        """The same with the defaults of client-facts.md, 12 to 14, filled in.

        Raises InvalidRequest when replicas are both counted and scaled, or the bounds cross.
        """
        scaler = self.auto_scaler or AutoScaler()
        enabled = scaler.autoscale_enabled
        if enabled is None:
            enabled = self.num_replicas is None
        if enabled and self.num_replicas is not None:
            raise InvalidRequest(
                f"numReplicas: got {self.num_replicas} while autoScaler.autoscaleEnabled is true; accepts a number only "
                "when the autoscaler is off. Send autoScaler.autoscaleEnabled false with it, or leave numReplicas out."
            )
        filled = AutoScaler(
            autoscale_enabled=enabled,
            min_replicas=1 if scaler.min_replicas is None else scaler.min_replicas,
            max_replicas=10 if scaler.max_replicas is None else scaler.max_replicas,
            target_utilization=70 if scaler.target_utilization is None else scaler.target_utilization,
            refresh_period_in_seconds=scaler.refresh_period_in_seconds or 1,
        )
        _refuse_crossed_bounds(filled)
        count = None if enabled else 1 if self.num_replicas is None else self.num_replicas
        slots = self.max_concurrent_requests_per_container or DEFAULT_CONCURRENCY
        return self.but(num_replicas=count, auto_scaler=filled, max_concurrent_requests_per_container=slots)

    def merged(self, update: "ServiceSettings") -> "ServiceSettings":
        """These settings with an update's laid over them, nested objects included, and settled.

        Turning the autoscaler on drops the count that it takes over. Raises InvalidRequest as `settled` does.
        """
        laid = {name: _laid_over(getattr(self, name), getattr(update, name)) for name in ServiceSettings.model_fields}
        if update.auto_scaler and update.auto_scaler.autoscale_enabled and update.num_replicas is None:
            laid["num_replicas"] = None
        return ServiceSettings.model_validate(laid).settled()


DEFAULT_CONCURRENCY = 10


def _refuse_crossed_bounds(scaler: AutoScaler) -> None:
    low, high = scaler.min_replicas, scaler.max_replicas
    if low is not None and high is not None and high < low:
        raise InvalidRequest(f"autoScaler.maxReplicas: got {high}; accepts at least autoScaler.minReplicas, which is {low}.")


def _laid_over(old: object, new: object) -> object:
    if isinstance(old, Wire) and isinstance(new, Wire):
        return old.but(**{name: value for name, value in new.__dict__.items() if value is not None})
    return old if new is None else new


class ServiceCreateRequest(ServiceSettings):
    """What a caller asks to run."""

    name: DnsName
    image_id: Id
    compute_resource: ComputeResource

    def as_update(self) -> "ServiceUpdateRequest":
        """The same for a service that is there already."""
        return ServiceUpdateRequest(**self.settings().__dict__, image_id=self.image_id)


class ServiceUpdateRequest(ServiceSettings):
    """What a caller asks to change; what is absent stays."""

    image_id: Id | None = None


class LastUpdate(Wire):
    """The update that was accepted last: the tags its caller expected, what it asked for, and its operation."""

    expected: str
    request: str
    operation_id: str = ""


class Service(Document):
    """A service. Its image and settings are those that answer calls; an update under way is in its operation."""

    kind: ClassVar[str] = "service"
    narrowest: ClassVar[tuple[str, ...]] = (
        "serviceName",
        "imageId",
        "manifestId",
        "modelId",
        "manifestName",
        "modelName",
        "computeResourceId",
        "computeName",
    )

    name: str
    created_at: Timestamp
    updated_at: Timestamp
    image: Image
    models: tuple[Model, ...]
    compute_resource: ComputeResource
    settings: ServiceSettings
    scoring_uri: str | None = None
    state: State = State.NOT_STARTED
    error: ErrorResponse | None = None
    operation_id: str | None = None
    deployment_id: str | None = None
    last_update: LastUpdate | None = None
    revision: int = 1

    def terms(self) -> Iterator[Term]:
        yield {"serviceName": self.name}
        yield {"imageId": self.image.id}
        yield {"manifestId": self.image.manifest.id}
        yield {"manifestName": self.image.manifest.name}
        yield {"computeResourceId": self.compute_resource.id.lower()}
        yield {"computeName": compute_name(self.compute_resource.id)}
        for model_id in sorted({model.id for model in self.models}):
            yield {"modelId": model_id}
        for name in sorted({model.name for model in self.models}):
            yield {"modelName": name}

    def shown(self) -> "ServiceResponse":
        """It as its callers see it."""
        return ServiceResponse(
            **self.settings.__dict__,
            id=self.id,
            name=self.name,
            created_at=self.created_at,
            updated_at=self.updated_at,
            image=self.image,
            manifest=self.image.manifest,
            models=self.models,
            compute_resource=self.compute_resource,
            scoring_uri=self.scoring_uri,
            state=self.state,
            error=self.error,
        )

    @property
    def tag(self) -> str:
        """Its entity tag, RFC 9110: a digest of what is shown."""
        digest = hashlib.sha256(self.shown().json_text().encode()).digest()
        return f'"{base64.urlsafe_b64encode(digest[:18]).decode()}"'

    def changing(self, update: LastUpdate, now: datetime) -> "Service":
        """An update of it was accepted; what runs goes on running."""
        return self._next(state=State.RUNNING, operation_id=update.operation_id, last_update=update, updated_at=now)

    def deployed(
        self, *, deployment_id: str, image: Image, models: tuple[Model, ...], settings: ServiceSettings, scoring_uri: str
    ) -> "Service":
        """That deployment answers its calls."""
        return self._next(
            deployment_id=deployment_id,
            image=image,
            models=models,
            settings=settings,
            scoring_uri=scoring_uri,
            state=State.SUCCEEDED,
            operation_id=None,
            error=None,
        )

    def not_deployed(self, error: ErrorResponse) -> "Service":
        """The change failed: what ran before runs on, and where nothing did, the service has failed."""
        if self.deployment_id is not None:
            return self._as_before()
        return self._next(state=State.FAILED, operation_id=None, error=error)

    def restoring(self, operation_id: str) -> "Service":
        """What was deleted of it by hand is put back; nothing is seen of it but the operation."""
        return self._next(operation_id=operation_id)

    def restored(self) -> "Service":
        """That has ended, one way or the other."""
        return self._next(operation_id=None)

    def observed(self, error: ErrorResponse | None) -> "Service":
        """How it fares on its compute: nothing of it has been ready for long, for that cause, or it answers again."""
        state = State.FAILED if error else State.SUCCEEDED
        return self if (state, error) == (self.state, self.error) else self._next(state=state, error=error)

    def cancelled(self) -> "Service":
        """The change was given up: what ran before runs on, and where nothing did, nothing does."""
        return self._next(state=State.CANCELLED, operation_id=None) if self.deployment_id is None else self._as_before()

    def _as_before(self) -> "Service":
        return self._next(state=State.FAILED if self.error else State.SUCCEEDED, operation_id=None)

    def _next(self, **changes: object) -> "Service":
        return self.but(revision=self.revision + 1, **changes)


class ServiceResponse(ServiceSettings):
    """A service as its callers see it."""

    id: str
    name: str
    created_at: Timestamp
    updated_at: Timestamp
    image: Image
    manifest: Manifest
    models: tuple[Model, ...]
    compute_resource: ComputeResource
    scoring_uri: str | None = None
    state: State
    error: ErrorResponse | None = None


class KeyType(StrEnum):
    """Which of the two keys."""

    PRIMARY = "Primary"
    SECONDARY = "Secondary"


class AuthKeys(Wire):
    """The keys callers score with; either one is good."""

    primary_key: str
    secondary_key: str


class ServiceRegenerateKeyRequest(Wire):
    """Which key to make anew."""

    key_type: KeyType = KeyType.PRIMARY


class KeyGenerations(Document):
    """How often each key of a service was made anew. The keys themselves are derived, and kept nowhere."""

    kind: ClassVar[str] = "service-keys"

    primary: int = 1
    secondary: int = 1

    def regenerated(self, key_type: KeyType) -> Self:
        """That key made anew; the other stays."""
        name = key_type.value.lower()
        return self.but(**{name: getattr(self, name) + 1})
