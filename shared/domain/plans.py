"""The kinds of operation: what each is about, its steps in order, how often one is tried, how long all may take."""

from dataclasses import dataclass
from datetime import timedelta

from shared.domain.operations import Operation, OperationType

BUILD_IMAGE = "build-image"
DEPLOY_SERVICE = "deploy-service"
DELETE_SERVICE = "delete-service"
RESTORE_SERVICE = "restore-service"
RUN_PIPELINE = "run-pipeline"


@dataclass(frozen=True)
class Plan:
    """One kind of operation."""

    operation_type: OperationType
    steps: tuple[str, ...]
    deadline: timedelta
    attempts: int = 8


_BUILD_STEPS = ("begin", "resolve", "dependencies", "content", "publish")

PLANS = {
    BUILD_IMAGE: Plan(OperationType.IMAGE, _BUILD_STEPS, timedelta(minutes=30)),
    DEPLOY_SERVICE: Plan(OperationType.SERVICE, ("begin", "rollout", "finish"), timedelta(minutes=10)),
    DELETE_SERVICE: Plan(OperationType.SERVICE, ("begin", "clear"), timedelta(hours=24), attempts=1000),
    RESTORE_SERVICE: Plan(OperationType.SERVICE, ("restore",), timedelta(hours=24)),
    RUN_PIPELINE: Plan(OperationType.PIPELINE, ("model", "manifest", "image", "service"), timedelta(hours=1)),
}


def builds(operation: Operation) -> bool:
    """Whether to run it is to build: that may take long, and nothing else waits behind it in a queue.

    What is to be compensated waits with all others: a cancel never waits for somebody else's build.
    """
    return operation.workflow == BUILD_IMAGE and not operation.undoing and operation.cancel_requested is None
