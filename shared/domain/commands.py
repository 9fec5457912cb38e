"""Commands: what machines ask for by queue, as people do by HTTP. Source: CloudEvents 1.0."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.domain.wire import Json


@dataclass(frozen=True)
class Command:
    """One command: `source` and `id` together make it unique, `subject` is the path of the account it is for."""

    id: str
    source: str
    type: str
    subject: str
    data: Mapping[str, Json]
    trace_parent: str | None = None
