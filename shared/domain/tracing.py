"""The trace that what happens here belongs to, as a W3C `traceparent`."""

import re
from contextvars import ContextVar

trace_parent: ContextVar[str | None] = ContextVar("trace_parent", default=None)

_TRACE_PARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def valid_trace_parent(text: str | None) -> str | None:
    """That text when it is a `traceparent` of version 00; anything else is no trace at all, as the standard has it."""
    return text if text and _TRACE_PARENT.fullmatch(text) else None
