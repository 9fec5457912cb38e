"""Type hints as kinds of JSON: the JSON Schema that describes one (draft 2020-12), and whether a value fits.

Known are the types of JSON, lists, tuples, dictionaries, unions, literals, enumerations, dates, data classes and
`TypedDict`s. Any other hint, such as an array's, is no promise that could be checked: what comes is handed on as it is.
"""

import dataclasses
import inspect
import json
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal, TypeAliasType, Union, get_args, get_origin, get_type_hints, is_typeddict

from .misfit import Misfit

type Schema = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A type hint, understood."""

    schema: Schema
    convert: Callable[[Any], Any]
    """A parsed value as the hint wants it. Raises Misfit or ValueError."""
    plain: frozenset[type] = frozenset()
    """Types whose values need no look at each."""

    def fit(self, value: Any, *path: str | int) -> Any:
        """A parsed value as the hint wants it. Raises Misfit, with the path to the value before its own."""
        try:
            return self.convert(value)
        except Misfit as misfit:
            raise Misfit(misfit.reason, *path, *misfit.path) from misfit.__cause__
        except ValueError as error:  # what a date, or a class of the driver's, says of it
            raise Misfit(str(error), *path) from error

    def read(self, body: bytes) -> Any:
        """The value of a JSON text. Raises Misfit."""
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Misfit(f"it is not JSON: {error}") from error
        return self.fit(value)


ANYTHING = Kind({}, lambda value: value)


def kind_of(hint: Any, within: tuple[Any, ...] = ()) -> Kind:
    """What a hint means. `within` are the classes it stands in: one that holds itself is described no deeper.

    Raises NameError for a class with a hint that names nothing.
    """
    if isinstance(hint, TypeAliasType):
        return kind_of(hint.__value__, within)
    if hint in within:
        return ANYTHING
    return _class(hint, within) if isinstance(hint, type) and not get_args(hint) else _generic(hint, within)


def _class(hint: type, within: tuple[Any, ...]) -> Kind:
    if hint in _CLASSES:
        return _CLASSES[hint]
    if issubclass(hint, Enum):
        return _choice([member.value for member in hint], hint)
    if is_typeddict(hint) or dataclasses.is_dataclass(hint):
        return _record(hint, (*within, hint))
    return ANYTHING


def _generic(hint: Any, within: tuple[Any, ...]) -> Kind:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _choice(list(arguments), lambda value: value)
    if origin is Annotated:
        return kind_of(arguments[0], within)
    inner = [kind_of(argument, within) for argument in arguments if argument is not Ellipsis]
    if origin in {list, Sequence}:
        return _list(inner[0], list)
    if origin is tuple:
        return _list(inner[0], tuple) if Ellipsis in arguments else _tuple(inner)
    if origin in {dict, Mapping}:
        return _dictionary(inner[1])
    return _union(inner) if origin in {Union, types.UnionType} else ANYTHING


def _plain(schema: Schema, expected: str, *plain: type) -> Kind:
    def convert(value: Any) -> Any:
        if type(value) in plain:
            return value
        raise Misfit.of(expected, value)

    return Kind(schema, convert, frozenset(plain))


def _date(form: str, read: Callable[[str], Any]) -> Kind:
    return Kind({"type": "string", "format": form}, lambda value: read(_TEXT.fit(value)))


def _list(item: Kind, make: Callable[[list[Any]], Any]) -> Kind:
    def convert(value: Any) -> Any:
        listed = _LIST.fit(value)
        if item.plain.issuperset(map(type, listed)):  # a tenth of the time
            return make(listed)
        return make([item.fit(each, place) for place, each in enumerate(listed)])

    return Kind({"type": "array", "items": item.schema}, convert)


def _tuple(items: Sequence[Kind]) -> Kind:
    def convert(value: Any) -> Any:
        if len(_LIST.fit(value)) != len(items):
            raise Misfit(f"expected {len(items)} items, got {len(value)}")
        return tuple(item.fit(each, place) for place, (item, each) in enumerate(zip(items, value, strict=True)))

    schemas = [item.schema for item in items]
    return Kind({"type": "array", "prefixItems": schemas, "minItems": len(items), "maxItems": len(items)}, convert)


def _dictionary(item: Kind) -> Kind:
    def convert(value: Any) -> Any:
        return {key: item.fit(each, key) for key, each in _OBJECT.fit(value).items()}

    return Kind({"type": "object", "additionalProperties": item.schema}, convert)


def _union(kinds: Sequence[Kind]) -> Kind:
    def convert(value: Any) -> Any:
        misfits = []
        for kind in kinds:
            try:
                return kind.fit(value)
            except Misfit as misfit:
                misfits.append(misfit)
        raise max(misfits, key=lambda misfit: len(misfit.path))  # it got furthest with the kind that was meant

    return Kind({"anyOf": [kind.schema for kind in kinds]}, convert)


def _choice(values: list[Any], make: Callable[[Any], Any]) -> Kind:
    def convert(value: Any) -> Any:
        if any(type(value) is type(one) and value == one for one in values):
            return make(value)
        raise Misfit(f"expected one of {json.dumps(values, default=str)}")

    return Kind({"enum": values}, convert)


def _record(hint: Any, within: tuple[Any, ...]) -> Kind:
    """A data class, or a TypedDict that is open unless it says otherwise in pydantic's way."""
    if is_typeddict(hint):
        make, required, names = dict, hint.__required_keys__, list(hint.__annotations__)
        closed = getattr(hint, "__pydantic_config__", {}).get("extra") == "forbid"
    else:
        parameters = inspect.signature(hint).parameters.values()
        make, names, closed = hint, [each.name for each in parameters], True
        required = frozenset(each.name for each in parameters if each.default is each.empty)
    hints = get_type_hints(hint)
    kinds = {name: kind_of(hints[name], within) for name in names}

    def convert(value: Any) -> Any:
        _refuse_others(_OBJECT.fit(value), required, kinds if closed else value)
        return make(**{name: kinds.get(name, ANYTHING).fit(each, name) for name, each in value.items()})

    return Kind(_object(hint, kinds, required, closed=closed), convert)


def _refuse_others(value: Mapping[str, Any], required: frozenset[str], known: Mapping[str, Any]) -> None:
    for name in sorted(required - value.keys()):
        raise Misfit("it is required, and not there", name)
    for name in sorted(value.keys() - known.keys()):
        raise Misfit("there is no such input", name)


def _object(hint: Any, kinds: Mapping[str, Kind], required: frozenset[str], *, closed: bool) -> Schema:
    properties = {name: kind.schema | _default(hint, name) for name, kind in kinds.items()}
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = [name for name in kinds if name in required]
    return schema | ({"additionalProperties": False} if closed else {})


def _default(hint: Any, name: str) -> Schema:
    default = getattr(hint, name, None)
    return {"default": default} if type(default) in {bool, int, float, str} else {}


_TEXT = _plain({"type": "string"}, "text", str)
_LIST = _plain({"type": "array"}, "a list", list)
_OBJECT = _plain({"type": "object"}, "an object", dict)
_CLASSES: dict[type, Kind] = {
    bool: _plain({"type": "boolean"}, "true or false", bool),
    int: _plain({"type": "integer"}, "an integer", int),
    float: _plain({"type": "number"}, "a number", float, int),
    str: _TEXT,
    list: _LIST,
    dict: _OBJECT,
    tuple: Kind(_LIST.schema, lambda value: tuple(_LIST.fit(value))),
    type(None): _plain({"type": "null"}, "null", type(None)),
    datetime: _date("date-time", datetime.fromisoformat),
    date: _date("date", date.fromisoformat),
}
