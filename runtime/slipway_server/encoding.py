"""What `run` returned, as JSON.

The answer is the JSON text of the returned value, whatever it is: of a string, a JSON string. Clients of the time parse
every answer, so they see what `run` returned. NumPy and pandas values become lists, a data frame a list of records, times
ISO 8601 texts, and NaN and the infinities, which JSON does not know, null.
"""

import json
import math
from datetime import date, time
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


def _converted(value: Any) -> Any:
    """The same in plain Python, one level deep. NumPy and pandas are known by what their values can do, and not imported."""
    if type(value).__name__ in _MISSING:
        return None
    if isinstance(value, date | time):
        return value.isoformat()
    if hasattr(value, "tolist"):
        counts_time = getattr(getattr(value, "dtype", None), "kind", "") in {"m", "M"}
        return (value.astype(str) if counts_time else value).tolist()
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return value.to_dict(orient="records")
    raise TypeError(f"run returned a {type(value).__qualname__}, which JSON cannot hold.")
