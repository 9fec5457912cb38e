"""Deployments: the history of what ran behind each service. Source: api.md, Deployment."""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar

from shared.domain.documents import Document, Term
from shared.domain.operations import ErrorResponse, State
from shared.domain.wire import Timestamp


class Deployment(Document):
    """One create or update of a service; it expires when another takes its place or the service goes."""

    kind: ClassVar[str] = "deployment"
    narrowest: ClassVar[tuple[str, ...]] = ("liveImageId", "serviceId")

    service_id: str
    service_name: str
    image_id: str
    status: State = State.NOT_STARTED
    created_at: Timestamp
    expired_at: Timestamp | None = None
    error: ErrorResponse | None = None

    def terms(self) -> Iterator[Term]:
        yield {"serviceId": self.service_id}
        if self.expired_at is None:
            yield {"liveImageId": self.image_id}

    def running(self) -> "Deployment":
        """Its replicas are being started."""
        return self.but(status=State.RUNNING)

    def succeeded(self) -> "Deployment":
        """It answers the service's calls."""
        return self.but(status=State.SUCCEEDED)

    def failed(self, error: ErrorResponse, now: datetime) -> "Deployment":
        """It never answered a call."""
        return self.but(status=State.FAILED, error=error, expired_at=now)

    def cancelled(self, now: datetime) -> "Deployment":
        """It was given up before it answered a call."""
        return self.but(status=State.CANCELLED, expired_at=now)

    def expired(self, now: datetime) -> "Deployment":
        """Another took its place, or its service went."""
        return self.but(expired_at=now)
