"""What the features of an input or a prediction are: its rows, each with names and values.

- An object is a row, its keys are the names. A list of objects is a row each.
- A list of lists is a row each, with the names c0, c1 and so on. A list of values is one row; but of predictions, as many as
  there were inputs are a row each.
- `{"columns": [...], "data": [[...]]}` (a data frame, as pandas writes it with `orient="split"`) names its columns.
- An object that holds nothing but one of these, as in `{"data": [[...]]}`, is that.
- A text that is the JSON of one of these is that. All else is one value, named c0.

Values that are lists or objects themselves become their JSON text.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..records import Cell

type Features = Mapping[str, Cell]

_MOST_NAMES = 1000
_LONGEST_NAMES = 16 * 1024  # all together
_DEEPEST = 4  # so many times an object that holds but one thing is opened
_NESTED = {list, dict}
_decoded = json.JSONDecoder(parse_constant=lambda _: None).decode  # NaN and the infinities are no JSON: they are missing


def features(body: bytes, excluded: frozenset[str], *, inputs: int = 0) -> list[Features]:
    """The rows of a body, without the fields of those names (in lower case), wherever they are.

    `inputs` is how many rows there were, where these are predictions. What is no text, such as an image, has none. Raises
    RecursionError for JSON nested without measure.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return []
    if not text.strip():
        return []
    rows = _rows(_parsed(text), inputs, _DEEPEST)
    return [without(row, row.values(), excluded) for row in rows if row]


def without(columns: Iterable[str], row: Iterable[Any], excluded: frozenset[str]) -> Features:
    """The row of those columns, without those of the excluded names. One with too many columns, such as the pixels of an
    image, becomes one value.
    """
    kept = dict(zip(columns, row, strict=False))
    if excluded:
        kept = {name: _without(value, excluded) for name, value in kept.items() if name.lower() not in excluded}
    if not _NESTED.isdisjoint(map(type, kept.values())):
        kept = {name: _cell(value) for name, value in kept.items()}
    if len(kept) <= _MOST_NAMES and sum(map(len, kept)) <= _LONGEST_NAMES:
        return kept
    return {"c0": json.dumps(list(kept.values()) if "c0" in kept else kept, ensure_ascii=False)}


def _cell(value: Any) -> Cell:
    return json.dumps(value, ensure_ascii=False) if type(value) in _NESTED else value


def _parsed(text: str) -> Any:
    """The value that a text is the JSON of, or the text. A text in it that is the JSON of a list or an object is opened:
    many drivers return `json.dumps(...)`.
    """
    try:
        value = _decoded(text)
    except ValueError:
        return text
    return _parsed(value) if isinstance(value, str) and value.lstrip()[:1] in {"{", "["} else value


def _without(value: Any, excluded: frozenset[str]) -> Any:
    match value:
        case {"columns": list(names), "data": list(rows)}:
            return [_without(row, excluded) for row in _named(names, rows)]
        case dict():
            return {name: _without(item, excluded) for name, item in value.items() if name.lower() not in excluded}
        case list():
            return [_without(item, excluded) for item in value]
        case _:
            return value


def _rows(value: Any, inputs: int, deep: int) -> list[dict[str, Any]]:
    match value:
        case list():
            return _of_list(value, inputs)
        case {"columns": list(names), "data": list(rows)}:
            return _named(names, rows)
        case dict() if deep and len(value) == 1 and isinstance(only := next(iter(value.values())), list | dict):
            return _rows(only, inputs, deep - 1)
        case dict():
            return [value]
        case _:
            return [{"c0": value}]


def _of_list(value: list[Any], inputs: int) -> list[dict[str, Any]]:
    kinds = set(map(type, value))
    if kinds <= {dict}:
        return value
    if kinds == {list}:
        return [_numbered(row) for row in value]
    return [{"c0": item} for item in value] if len(value) == inputs else [_numbered(value)]


def _named(names: list[Any], rows: list[Any]) -> list[dict[str, Any]]:
    return [dict(zip(map(str, names), row, strict=False)) for row in rows if isinstance(row, list)]


def _numbered(row: list[Any]) -> dict[str, Any]:
    return {f"c{number}": item for number, item in enumerate(row)}
