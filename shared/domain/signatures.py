"""URLs that hold signatures, and values without them. A type says of itself which of its fields those are."""

import re
from typing import cast

from shared.domain.wire import Wire

_QUERY = re.compile("[?#]")


def unsigned[T](value: T) -> T:
    """The same value, every URL in it that may hold a signature without its query."""
    match value:
        case Wire():
            return cast("T", _unsigned(value))
        case tuple():
            return cast("T", tuple(map(unsigned, value)))
    return value


def _unsigned(value: Wire) -> Wire:
    held = {name: getattr(value, name) for name in type(value).model_fields}
    shown = {name: _cut(one) if name in value.signed else unsigned(one) for name, one in held.items()}
    changes = {name: one for name, one in shown.items() if one is not held[name]}
    return value.model_copy(update=changes) if changes else value


def _cut(url: str | None) -> str | None:
    return _QUERY.split(url, maxsplit=1)[0] if url and _QUERY.search(url) else url
