"""What all wire types share: frozen, camelCase; how a request's body becomes one, and how a stored one is read.

A body is read strictly: an unknown property is an error. What is stored is read tolerantly: another version of the app may
have written more, which is kept, written back as it was, and never shown.
Source: api.md, Types; client-facts.md, 5 and 14.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer, ValidationError
from pydantic.alias_generators import to_camel

from shared.domain.errors import Detail, InvalidRequest, TooLarge, foreign

MOST_BODY_BYTES = 1024 * 1024
MOST_DEPTH = 32
MOST_VALUES = 10_000
"""Objects, arrays and what is in them, all told."""
MOST_DETAILS = 20
_LONGEST_FIELD = 200

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None


def _utc_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(moment: datetime) -> datetime:
    """That moment as the wire and the ids keep it: to the millisecond, so that lists sort alike by time and by id."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


Timestamp = Annotated[datetime, AfterValidator(milliseconds), PlainSerializer(_utc_text, return_type=str)]


class Wire(BaseModel):
    """A value as it travels.

    `read_only` names the properties that a request may hold and that are then ignored; `signed` the fields whose URLs may
    hold a signature, which is for those only who could have given it.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
    )
    read_only: ClassVar[frozenset[str]] = frozenset()
    signed: ClassVar[frozenset[str]] = frozenset()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Wire) or type(self) is not type(other):
            return NotImplemented
        return self.__dict__ == other.__dict__ and self._unknown == other._unknown

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    @property
    def _unknown(self) -> dict[str, Any]:
        """The properties that a stored value had besides those of this version, by their names on the wire."""
        return self.__pydantic_extra__ or {}

    @classmethod
    def from_stored(cls, document: str | bytes | Json) -> Self:
        """The value that was stored as that JSON, unknown properties kept at any depth; raises ValidationError."""
        text = document if isinstance(document, str | bytes) else json.dumps(document)
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            if all(problem["type"] != "extra_forbidden" for problem in error.errors(include_url=False)):
                raise
        return cls.model_validate_json(text, extra="allow")

    def stored(self) -> dict[str, Json]:
        """Its JSON document as it is stored: with what was unknown when it was read."""
        return cast("dict[str, Json]", _with_unknown(self, self.model_dump(mode="json", exclude_none=True)))

    def stored_text(self) -> str:
        """The text of `stored`."""
        return json.dumps(self.stored(), ensure_ascii=False) if _holds_unknown(self) else self.json_text()

    def json_text(self) -> str:
        """Its JSON as it is shown, absent properties left out."""
        return self.model_dump_json(exclude_none=True)

    def but(self, **changes: object) -> Self:
        """The same value with those fields changed, checked anew."""
        if not self._unknown:
            return type(self).model_validate({**self.__dict__, **changes})
        if strange := changes.keys() - type(self).model_fields.keys():
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(strange))}.")
        return type(self).model_validate({**self._unknown, **self.__dict__, **changes}, extra="allow")


def _holds_unknown(value: object) -> bool:
    match value:
        case Wire():
            return bool(value.__pydantic_extra__) or any(map(_holds_unknown, value.__dict__.values()))
        case tuple() | list():
            return any(map(_holds_unknown, value))
        case dict():
            return any(map(_holds_unknown, value.values()))
    return False


def _with_unknown(value: object, dumped: Any) -> Json:  # JSON of the shape that `value` has
    """That JSON of a value, with the unknown properties of all values in it."""
    match value:
        case Wire():
            fields = type(value).model_fields.items()
            inner = {(field.alias or name): getattr(value, name) for name, field in fields}
            known = {name: _with_unknown(inner.get(name), part) for name, part in dumped.items()}
            return known | (value.__pydantic_extra__ or {})
        case tuple() | list():
            return [_with_unknown(item, part) for item, part in zip(value, dumped, strict=True)]
        case dict():
            return {name: _with_unknown(value.get(name), part) for name, part in dumped.items()}
    return cast("Json", dumped)


def parse[T: Wire](kind: type[T], body: bytes) -> T:
    """The request body as a `kind`.

    Raises InvalidRequest with one detail for each thing that is wrong, the first twenty, naming the field, what it got and
    what it accepts; TooLarge. A null property is an absent one; read-only properties are ignored.
    """
    if len(body) > MOST_BODY_BYTES:
        raise TooLarge(f"The body: got {len(body)} bytes; accepts at most {MOST_BODY_BYTES}.")
    try:
        document = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not JSON: {foreign(error)}.", code="InvalidJson") from None
    if not isinstance(document, dict):
        raise InvalidRequest(f"The body is {_json_name(document)}; it must be a JSON object.", code="InvalidJson")
    _refuse_unbounded(document)
    present = {key: value for key, value in document.items() if key not in kind.read_only}
    return validate(kind, cast("dict[str, Json]", _without_nulls(present, kind)))


def validate[T: Wire](kind: type[T], properties: Mapping[str, Json]) -> T:
    """Those properties as a `kind`; raises InvalidRequest as `parse` does."""
    _refuse_unbounded(properties)
    try:
        text = json.dumps(properties, ensure_ascii=False).encode()
        return kind.model_validate_json(text, by_alias=True, by_name=False)
    except ValidationError as error:
        details = list(islice(_details(kind, error), MOST_DETAILS))
        if (more := error.error_count() - MOST_DETAILS) > 0:
            details.append(Detail("MoreErrors", f"{more} more things are wrong."))
    except ValueError as error:  # a lone surrogate has no UTF-8 form
        raise InvalidRequest(f"The body holds text that is not Unicode: {foreign(error)}.", code="InvalidJson") from None
    raise InvalidRequest(" ".join(detail.message for detail in details), details=details)


def _refuse_unbounded(document: object) -> None:
    """Raises InvalidRequest for JSON that is nested too deep, or of too many values, for any request."""
    level, count, depth = [document], 0, 0
    while level:
        depth, count = depth + 1, count + len(level)
        if depth > MOST_DEPTH:
            raise InvalidRequest(f"The body is nested deeper than {MOST_DEPTH} levels; accepts no more.", code="InvalidJson")
        if count > MOST_VALUES:
            raise InvalidRequest(f"The body holds more than {MOST_VALUES} values; accepts no more.", code="InvalidJson")
        inner = (value.values() if isinstance(value, dict) else value for value in level if isinstance(value, dict | list))
        level = list(islice((one for values in inner for one in values), MOST_VALUES + 1))


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not a JSON number")


def _json_name(value: object) -> str:
    names: dict[type, str] = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _without_nulls(value: Json, kind: type[BaseModel] | None) -> Json:
    """Without the null properties of objects of that kind; what it does not know stays, to be refused by its name."""
    if isinstance(value, list):
        return [_without_nulls(inner, kind) for inner in value]
    if not isinstance(value, dict):
        return value
    known = value.keys() if kind is None else {field.alias or name for name, field in kind.model_fields.items()}
    return {
        key: _without_nulls(inner, None if kind is None else _model_of(kind, key))
        for key, inner in value.items()
        if inner is not None or key not in known
    }


def _details(kind: type[BaseModel], error: ValidationError) -> Iterator[Detail]:
    for problem in error.errors(include_url=False):
        location = problem["loc"]
        field = _path(location)
        match problem["type"]:
            case "extra_forbidden":
                yield Detail("UnknownProperty", f"{field}: unknown property{_nearest(kind, location)}.")
            case "missing":
                yield Detail("MissingProperty", f"{field}: required, and absent.")
            case "value_error" if not location:
                yield Detail("InvalidValue", f"{_reason(problem)}.")
            case _:
                yield Detail("InvalidValue", f"{field}: got {_got(problem['input'])}; {_reason(problem)}.")


def _reason(problem: Mapping[str, Any]) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    return foreign(message[:1].lower() + message[1:], 500)


def _got(value: object) -> str:
    shown = value[:_LONGEST_FIELD] if isinstance(value, str) else value
    return foreign(json.dumps(shown, ensure_ascii=False, default=str), 120)


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{foreign(part, 80)}" if path else foreign(part, 80)
    return foreign(path, _LONGEST_FIELD)


def _nearest(kind: type[BaseModel], location: tuple[int | str, ...]) -> str:
    owner: type[BaseModel] | None = kind
    for part in location[:-1]:
        if isinstance(part, str) and owner is not None:
            owner = _model_of(owner, part)
    known = [field.alias or name for name, field in (owner or kind).model_fields.items()]
    by_case = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(location[-1])[:80].lower(), by_case, n=1, cutoff=0.5)
    return f"; the nearest known one is {by_case[close[0]]}" if close else f"; known are {', '.join(known)}"


def _model_of(owner: type[BaseModel], alias: str) -> type[BaseModel] | None:
    for field in owner.model_fields.values():
        if field.alias == alias:
            return _first_model(field.annotation)
    return None


def _first_model(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_first_model(inner) for inner in getattr(annotation, "__args__", ()))
    return next((model for model in found if model), None)
