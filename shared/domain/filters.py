"""What lists can be narrowed by. Source: api.md, the Query column of its endpoints."""

from typing import Annotated

from pydantic import AfterValidator

from shared.domain.fields import ComputeResourceId, FilterText, Id
from shared.domain.operations import OperationType, State
from shared.domain.wire import Wire


class Filters(Wire):
    """Filters of a list; those given must all hold."""

    def given(self) -> dict[str, str]:
        """Those that are given, under their wire names."""
        return self.model_dump(exclude_none=True)


class ModelFilters(Filters):
    """Of GET /models."""

    name: FilterText | None = None
    tag: FilterText | None = None


class ManifestFilters(Filters):
    """Of GET /manifests."""

    model_id: Id | None = None
    manifest_name: FilterText | None = None


class ImageFilters(Filters):
    """Of GET /images."""

    manifest_id: Id | None = None
    manifest_name: FilterText | None = None


class ServiceFilters(Filters):
    """Of GET /services."""

    service_name: FilterText | None = None
    model_id: Id | None = None
    model_name: FilterText | None = None
    manifest_id: Id | None = None
    manifest_name: FilterText | None = None
    image_id: Id | None = None
    compute_resource_id: Annotated[ComputeResourceId, AfterValidator(str.lower)] | None = None


class DeploymentFilters(Filters):
    """Of GET /deployments."""

    service_id: Id | None = None


class OperationFilters(Filters):
    """Of GET /operations."""

    state: State | None = None
    operation_type: OperationType | None = None
    resource_id: Id | None = None
