"""Hints that pydantic takes part in, read with the driver's own pydantic: the server has none, and needs none."""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, get_args, get_type_hints, is_typeddict

from .kinds import Kind, Schema
from .misfit import Misfit

_OF_PYDANTIC = ("pydantic", "annotated_types")


def pydantic_kind(hint: Any) -> Kind | None:
    """What a hint means to pydantic, when a model or a constraint of it is in there.

    Raises what pydantic raises for hints that it cannot read; NameError for one that names nothing.
    """
    pydantic = sys.modules.get("pydantic")
    if pydantic is None or not _takes_part(hint, set()):
        return None
    adapter = pydantic.TypeAdapter(hint)
    error = pydantic.ValidationError
    return _PydanticKind(_schema(adapter, pydantic), adapter.validate_python, adapter=adapter, error=error)


def unreadable(hints: Mapping[str, Any]) -> Mapping[str, Exception]:
    """Which hints pydantic cannot read, such as an array's, and why, if it takes part in any: then it reads them all."""
    pydantic = sys.modules.get("pydantic")
    errors, takes_part = dict[str, Exception](), False
    for name, hint in hints.items() if pydantic else ():
        try:
            takes_part |= _takes_part(hint, set())
            pydantic.TypeAdapter(hint)  # type: ignore[union-attr]  # it is there
        except Exception as error:  # noqa: BLE001  the driver's classes, and its pydantic, may raise anything
            errors[name] = error
    return errors if takes_part else {}


def _takes_part(hint: Any, seen: set[Any]) -> bool:
    if hint in seen:
        return False
    seen.add(hint)
    if hasattr(hint, "__pydantic_core_schema__") or type(hint).__module__.startswith(_OF_PYDANTIC):
        return True
    fields = get_type_hints(hint, include_extras=True) if is_typeddict(hint) or dataclasses.is_dataclass(hint) else {}
    inner = (*get_args(hint), *getattr(hint, "__metadata__", ()), *fields.values())
    return any(_takes_part(one, seen) for one in inner if _is_hashable(one))


def _is_hashable(one: Any) -> bool:
    return getattr(type(one), "__hash__", None) is not None


def _schema(adapter: Any, pydantic: ModuleType) -> Schema:
    try:
        schema: Schema = adapter.json_schema()
    except pydantic.errors.PydanticInvalidForJsonSchema:  # it validates, but cannot be described
        return {}
    return schema


@dataclass(frozen=True, kw_only=True)
class _PydanticKind(Kind):
    adapter: Any
    error: type[Exception]

    def fit(self, value: Any, *path: str | int) -> Any:
        """A parsed value as pydantic reads it. Raises Misfit."""
        try:
            return self.convert(value)
        except self.error as error:
            raise _misfit(error, path) from error

    def read(self, body: bytes) -> Any:
        """As JSON, which in a strict model is more than the same parsed: a date may be a text there."""
        try:
            return self.adapter.validate_json(body)
        except self.error as error:
            raise _misfit(error, ()) from error


def _misfit(error: Any, path: tuple[str | int, ...]) -> Misfit:
    """Its first finding, and how many more there are."""
    first, *others = error.errors(include_url=False, include_context=False, include_input=False)
    more = f" ({len(others)} more)" if others else ""
    return Misfit(f"{first['msg']}{more}", *path, *first["loc"])
