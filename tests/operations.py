"""An operation, for tests that need one and do not care which."""

from typing import Any
from uuid import uuid4

from shared.domain.operations import Operation, OperationType, StepStatus
from tests.twins import EPOCH


def an_operation(identifier: str | None = None, **fields: Any) -> Operation:
    """A build that was accepted, with those fields."""
    otherwise: dict[str, Any] = {
        "operation_type": OperationType.IMAGE,
        "created_time": EPOCH,
        "resource_id": str(uuid4()),
        "workflow": "build-image",
        "step": "begin",
        "steps": (StepStatus(name="begin"), StepStatus(name="publish")),
        "not_before": EPOCH,
        "deadline": EPOCH,
    }
    return Operation(id=identifier or str(uuid4()), **{**otherwise, **fields})
