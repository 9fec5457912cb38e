"""The lines that replicas print, read: JSON of the scoring server (client-facts.md, 30), and whatever else there is.

In a request's record the message is JSON itself, so that clients can filter by request. People read one level of it, and a
traceback as the lines that it has.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

_INDENT = "    "
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What steers a terminal, turns text round, ends a line for some, or cannot be encoded."""


def message_of(line: str) -> str:
    """What the line says: the message of a record, and of the request's record within it; any other line as it is."""
    record = _object(line)
    return _said(record["message"])["message"] if isinstance(record.get("message"), str) else line


def readable(line: str) -> Iterator[str]:
    """The line as a person reads it: a record as one level of JSON with the first line of its message, the others below.

    Only a record begins at the margin. All else is indented, and passes for no other record, and for no other replica's.
    """
    record = _object(line)
    if not all(isinstance(record.get(name), str) for name in ("timestamp", "level", "message")):
        yield from _indented([line])
        return
    said = _said(record["message"])
    first, *more = re.split("\r?\n", said["message"].rstrip("\r\n"))
    outer = {name: record[name] for name in ("timestamp", "level", "logger") if isinstance(record.get(name), str)}
    yield _shown(json.dumps({**outer, **said, "message": first}, ensure_ascii=False))
    yield from _indented(more)


def _indented(lines: list[str]) -> Iterator[str]:
    yield from (f"{_INDENT}{_shown(line)}".rstrip() for line in lines)


def _said(message: str) -> dict[str, str]:
    """What a record's message says: of a request, if it is JSON of that shape; else the text itself."""
    told = _object(message)
    fields = {name: told.get(name) for name in ("requestId", "apiName", "message")}
    return fields if all(isinstance(field, str) for field in fields.values()) else {"message": message}  # type: ignore[return-value]


def _object(text: str) -> dict[str, Any]:
    """The JSON object that this is; an empty one for anything else."""
    try:
        read = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _shown(text: str) -> str:
    """It with what could do harm escaped, as JSON has it."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
