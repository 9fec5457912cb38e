"""Answers that are made of more than one document. Source: api.md, Types."""

import re

from pydantic import RootModel

from functions.replies import API_VERSIONS
from shared.domain.compute_resources import ComputeResourceResponse
from shared.domain.deployments import Deployment
from shared.domain.images import BUILD_LOG, Image, log_path
from shared.domain.manifests import Manifest
from shared.domain.models import Model
from shared.domain.operations import AsyncOperationStatus, ErrorDetail, ErrorResponse, Operation, OperationType
from shared.domain.services import ServiceResponse
from shared.domain.wire import Wire

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
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
        status=operation.state.status,
        created_time=operation.created_time,
        end_time=operation.end_time,
        resource_location=f"{account_url}/{_resource_path(operation)}",
        percent_complete=operation.percent_complete,
        steps=tuple(_with_log(step, "last_error", account_url) for step in operation.steps),
        waiting_for=operation.waiting_for,
        cancel_requested=operation.cancel_requested,
        error=_addressed(operation.error, account_url),
        warnings=operation.warnings,
    )


def image_shown(image: Image, account_url: str) -> Image:
    """An image as its callers see it."""
    return _with_log(image, "error", account_url)


def _with_log[W: Wire](value: W, field: str, account_url: str) -> W:
    error = getattr(value, field)
    shown = _addressed(error, account_url)
    return value if shown == error else value.but(**{field: shown})


def _addressed(error: ErrorResponse | None, account_url: str) -> ErrorResponse | None:
    """With the absolute address of the build's log, which the caller's own token opens (client-facts.md, 7).

    Stored is where it is below the account or, by earlier versions, its blob: either names the image last.
    """
    if error is None or error.details is None or all(detail.code != BUILD_LOG for detail in error.details):
        return error
    return error.but(details=tuple(_with_address(detail, account_url) for detail in error.details))


def _with_address(detail: ErrorDetail, account_url: str) -> ErrorDetail:
    ids = _ID.findall(detail.message) if detail.code == BUILD_LOG else ()
    if not ids:
        return detail
    return detail.but(message=f"{account_url}/{log_path(ids[-1])}?api-version={API_VERSIONS[-1]}")


def _resource_path(operation: Operation) -> str:
    """Of a pipeline, the last thing that it made; itself while there is none."""
    if operation.operation_type is not OperationType.PIPELINE:
        return f"{_RESOURCES[operation.operation_type]}/{operation.resource_id}"
    made = (f"{path}/{operation.checkpoint[key]}" for key, path in _MADE.items() if key in operation.checkpoint)
    return next(made, f"operations/{operation.id}")
