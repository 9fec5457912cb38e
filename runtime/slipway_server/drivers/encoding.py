"""What `run` returned, as JSON.

The answer is the JSON text of the returned value, whatever it is: of a string, a JSON string. Clients of the time parse
every answer, so they see what `run` returned. NumPy and pandas values become lists, a data frame, of Spark, too, a list of
records, data classes and pydantic's models objects, times ISO 8601 texts, and NaN and the infinities, which JSON does not
know, null.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any

_MISSING = {"NAType", "NaTType"}  # pandas' own


def encode(value: Any) -> bytes:
    """The JSON text of the value. Raises TypeError or ValueError when it has none."""
    try:
        return _text(value)
    except (TypeError, ValueError):  # keys or numbers that JSON does not know: worth a walk through all of it
        return _text(_plain(value))


def _text(value: Any) -> bytes:
    return json.dumps(value, default=_converted, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {_key(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float():
            return float(value) if math.isfinite(value) else None
        case str() | int() | None:
            return value
        case _:
            return _plain(_converted(value))


def _key(key: Any) -> Any:
    return key if isinstance(key, str | int | float | None) else _converted(key)


def listed(value: Any) -> Sequence[Any]:
    """The items of a list, array, series or frame. Raises TypeError for what is none."""
    items = value if isinstance(value, list | tuple) else _converted(value)
    if not isinstance(items, list | tuple):
        raise TypeError(f"run_batch returned a {type(value).__qualname__}, which is no list of results.")
    return items


def _converted(value: Any) -> Any:
    """The same in plain Python, one level deep. Others' values are known by what they can do, and nothing is imported."""
    if type(value).__name__ in _MISSING:
        return None
    for is_one, converted in _CONVERSIONS:
        if is_one(value):
            return converted(value)
    raise TypeError(f"run returned a {type(value).__qualname__}, which JSON cannot hold.")


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda value: all(hasattr(value, name) for name in names)


def _array(value: Any) -> Any:
    counts_time = getattr(getattr(value, "dtype", None), "kind", "") in {"m", "M"} and not hasattr(value, "to_numpy")
    return _times(value.astype(str).tolist()) if counts_time else value.tolist()  # a list of pandas' holds its own times


def _times(texts: Any) -> Any:
    if isinstance(texts, list):
        return [_times(one) for one in texts]
    return None if texts == "NaT" else texts


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


_CONVERSIONS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (_has("isoformat"), lambda value: value.isoformat()),
    (_has("tolist"), _array),
    (_has("columns", "to_dict"), lambda value: value.to_dict(orient="records")),
    (_has("columns", "collect"), lambda value: [row.asDict() for row in value.collect()]),  # Spark's
    (_has("toArray"), lambda value: value.toArray()),  # Spark's vectors
    (_has("model_dump"), lambda value: value.model_dump(mode="json")),
    (lambda value: dataclasses.is_dataclass(value) and not isinstance(value, type), _fields),
    (lambda value: isinstance(value, Enum), lambda value: value.value),
    (lambda value: isinstance(value, Decimal), float),
)
