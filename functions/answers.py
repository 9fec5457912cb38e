"""Answers that are made of more than one document. Source: api.md, Types."""

from pydantic import RootModel

from shared.domain.deployments import Deployment
from shared.domain.images import Image
from shared.domain.manifests import Manifest
from shared.domain.models import Model
from shared.domain.operations import AsyncOperationStatus, Operation, OperationType
from shared.domain.services import Service, ServiceResponse
from shared.domain.wire import Wire

_RESOURCES = {OperationType.IMAGE: "images", OperationType.SERVICE: "services"}


class PaginatedModelList(Wire):
    """A page of models."""

    value: tuple[Model, ...]
    next_link: str | None = None


class PaginatedManifestList(Wire):
    """A page of manifests."""

    value: tuple[Manifest, ...]
    next_link: str | None = None


class PaginatedImageList(Wire):
    """A page of images."""

    value: tuple[Image, ...]
    next_link: str | None = None


class PaginatedServiceList(Wire):
    """A page of services."""

    value: tuple[ServiceResponse, ...]
    next_link: str | None = None


class DeploymentList(RootModel[tuple[Deployment, ...]]):
    """Deployments: not paged, a bare array."""


def service_response(service: Service) -> ServiceResponse:
    """A service as its callers see it."""
    return ServiceResponse(
        **service.settings.__dict__,
        id=service.id,
        name=service.name,
        created_at=service.created_at,
        updated_at=service.updated_at,
        image=service.image,
        manifest=service.image.manifest,
        models=service.models,
        compute_resource=service.compute_resource,
        scoring_uri=service.scoring_uri,
        state=service.state,
        error=service.error,
    )


def operation_status(operation: Operation, account_url: str) -> AsyncOperationStatus:
    """An operation as its callers see it."""
    return AsyncOperationStatus(
        id=operation.id,
        operation_type=operation.operation_type,
        state=operation.state,
        created_time=operation.created_time,
        end_time=operation.end_time,
        resource_location=f"{account_url}/{_RESOURCES[operation.operation_type]}/{operation.resource_id}",
        waiting_for=operation.waiting_for,
        error=operation.error,
    )
