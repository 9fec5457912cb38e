"""Answers that are made of more than one document. Source: api.md, Types."""

from pydantic import RootModel

from shared.domain.compute_resources import ComputeResourceResponse
from shared.domain.deployments import Deployment
from shared.domain.images import Image
from shared.domain.manifests import Manifest
from shared.domain.models import Model
from shared.domain.operations import AsyncOperationStatus, Operation, OperationType
from shared.domain.services import ServiceResponse
from shared.domain.wire import Wire

_RESOURCES = {OperationType.IMAGE: "images", OperationType.SERVICE: "services"}
_MADE = {"serviceId": "services", "imageId": "images", "manifestId": "manifests", "modelId": "models"}


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


class PaginatedComputeResourceList(Wire):
    """A page of compute resources."""

    value: tuple[ComputeResourceResponse, ...]
    next_link: str | None = None


class DeploymentList(RootModel[tuple[Deployment, ...]]):
    """Deployments: not paged, a bare array."""


class PaginatedOperationList(Wire):
    """A page of operations."""

    value: tuple[AsyncOperationStatus, ...]
    next_link: str | None = None


def operation_status(operation: Operation, account_url: str) -> AsyncOperationStatus:
    """An operation as its callers see it."""
    return AsyncOperationStatus(
        id=operation.id,
        operation_type=operation.operation_type,
        state=operation.state,
        created_time=operation.created_time,
        end_time=operation.end_time,
        resource_location=f"{account_url}/{_resource_path(operation)}",
        percent_complete=operation.percent_complete,
        steps=operation.steps,
        waiting_for=operation.waiting_for,
        cancel_requested=operation.cancel_requested,
        error=operation.error,
        warnings=operation.warnings,
    )


def _resource_path(operation: Operation) -> str:
    """Of a pipeline, the last thing that it made; itself while there is none."""
    if operation.operation_type is not OperationType.PIPELINE:
        return f"{_RESOURCES[operation.operation_type]}/{operation.resource_id}"
    made = (f"{path}/{operation.checkpoint[key]}" for key, path in _MADE.items() if key in operation.checkpoint)
    return next(made, f"operations/{operation.id}")
