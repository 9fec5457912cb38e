"""What is told of operations: one line for each transition, and a count for each new state."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.operations import Operation
from shared.domain.ports import Telemetry

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Transitions:
    """Tells of them, to the log and to telemetry. To be called when they are committed, and not before."""

    telemetry: Telemetry

    def tell(self, before: Operation | None, after: Operation, outcome: str, took: timedelta = timedelta(0)) -> None:
        """One line: what the step in hand before came to, or what became of the operation without any step."""
        self.count(before, after)
        told = before or after
        _logger.info(
            "operation=%s resource=%s step=%s outcome=%s state=%s attempt=%d seconds=%.3f",
            told.id,
            told.resource_id,
            told.step,
            outcome,
            after.state,
            told.attempts + 1,
            took.total_seconds(),
        )

    def count(self, before: Operation | None, after: Operation) -> None:
        """One more in that state, if it was in another one, or none."""
        if before is None or after.state is not before.state:
            self.telemetry.count("slipway.operations", {"workflow": after.workflow, "state": after.state})
