"""Services: an image that answers, its settings, and what PUT makes of them. Source: api.md; client-facts.md, 12–14."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Self

from shared.domain.compute_resources import compute_name
from shared.domain.documents import Document, Term, tag_of
from shared.domain.fields import DnsName, Id
from shared.domain.images import Image
from shared.domain.manifests import Manifest
from shared.domain.models import Model
from shared.domain.operations import ErrorResponse, State
from shared.domain.service_settings import AutoScaler, ComputeResource, ServiceSettings
from shared.domain.wire import Timestamp, Wire

_REPAIR_PAUSE = timedelta(minutes=1)
_LONGEST_REPAIR_PAUSE = timedelta(hours=6)


class AutoScalerStatus(AutoScaler):
    """An autoscaler as callers see it: `state` and `error` are there while it does not work, an extension of api.md."""

    read_only: ClassVar[frozenset[str]] = frozenset()

    state: State | None = None
    error: ErrorResponse | None = None


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


class Repairs(Wire):
    """What was found not to be as recorded, how often in a row, and when it is worth putting back once more."""

    drift: tuple[str, ...]
    count: int
    not_before: Timestamp

    @classmethod
    def after(cls, before: "Repairs | None", drift: tuple[str, ...], now: datetime) -> "Repairs":
        """One more; drift that comes back, since something else wants it otherwise, is put back ever less often."""
        count = before.count + 1 if before is not None and before.drift == drift else 1
        pause = min(_REPAIR_PAUSE * (1 << min(count, 16)), _LONGEST_REPAIR_PAUSE) if count > 1 else timedelta(0)
        return cls(drift=drift, count=count, not_before=now + pause)

    def may_follow(self, drift: tuple[str, ...], now: datetime) -> bool:
        """Whether that drift is to be put back now."""
        return drift != self.drift or now >= self.not_before


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
    repairs: Repairs | None = None
    scaling_error: ErrorResponse | None = None
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
            **{**self.settings.__dict__, "auto_scaler": self._shown_scaler()},
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
        return tag_of(self.shown().json_text())

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

    def restoring(self, operation_id: str, repairs: Repairs | None = None) -> "Service":
        """What is not as recorded is put back; nothing is seen of it but the operation."""
        return self._next(operation_id=operation_id, repairs=repairs)

    def restored(self) -> "Service":
        """That has ended, one way or the other."""
        return self._next(operation_id=None)

    def observed(
        self, error: ErrorResponse | None, scaling_error: ErrorResponse | None = None, *, drifting: bool = False
    ) -> "Service":
        """How it fares on its compute: nothing of it has been ready for long, for that cause, or it answers again. Unless it
        is `drifting`, it is as recorded."""
        state = State.FAILED if error else State.SUCCEEDED
        repairs = self.repairs if drifting else None
        if (state, error, scaling_error, repairs) == (self.state, self.error, self.scaling_error, self.repairs):
            return self
        return self._next(state=state, error=error, scaling_error=scaling_error, repairs=repairs)

    def not_restored(self, error: ErrorResponse) -> "Service":
        """What it lacks cannot be put back, for that cause, and this goes on."""
        return self._next(state=State.FAILED, error=error)

    def cancelled(self) -> "Service":
        """The change was given up: what ran before runs on, and where nothing did, nothing does."""
        return self._next(state=State.CANCELLED, operation_id=None) if self.deployment_id is None else self._as_before()

    def _shown_scaler(self) -> AutoScalerStatus | None:
        scaler, error = self.settings.auto_scaler, self.scaling_error
        if scaler is None:
            return None
        return AutoScalerStatus(**scaler.__dict__, state=State.FAILED if error else None, error=error)

    def _as_before(self) -> "Service":
        return self._next(state=State.FAILED if self.error else State.SUCCEEDED, operation_id=None)

    def _next(self, **changes: object) -> "Service":
        return self.but(revision=self.revision + 1, **changes)


class ServiceResponse(ServiceSettings):
    """A service as its callers see it."""

    auto_scaler: AutoScalerStatus | None = None
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
