"""How `run` takes a request: its body in one of three forms, its arguments by name, or all of it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any, NotRequired, Protocol, TypedDict, get_type_hints

from ..http.messages import Request
from ..logs import log
from . import azure_ml
from .body import BodyForm, form_for
from .kinds import ANYTHING, Kind, Schema, kind_of
from .misfit import Misfit
from .pydantic_kinds import pydantic_kind, unreadable

type Run = Callable[..., Any]
type Call = tuple[tuple[Any, ...], dict[str, Any]]

HEADERS = "request_headers"
"""The parameter that gets the request's headers, when there is one (client-facts.md, 24)."""


class Inputs(Protocol):
    """What `run` is given. As text, it says what `run` takes."""

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the body, empty where any will do."""

    def of(self, request: Request) -> Call:
        """The arguments for this request. Raises Misfit."""


@dataclass(frozen=True)
class BodyInput:
    """The body is the first argument."""

    form: BodyForm
    kind: Kind = ANYTHING

    def __str__(self) -> str:
        return self.form

    @property
    def schema(self) -> Schema:
        """That of its type hint."""
        return self.kind.schema

    def of(self, request: Request) -> Call:
        """The body in its form. Raises Misfit."""
        if self.form is BodyForm.JSON:
            return (self.kind.read(request.body),), {}
        try:
            return (self.form.of(request.body),), {}
        except ValueError as error:
            raise Misfit(f"it is not UTF-8 text: {error}") from error


@dataclass(frozen=True)
class NamedInput:
    """The body is a JSON object with the arguments by their names."""

    names: tuple[str, ...]
    kind: Kind

    def __str__(self) -> str:
        return f"{', '.join(self.names)} by name"

    @property
    def schema(self) -> Schema:
        """That of its type hint."""
        return self.kind.schema

    def of(self, request: Request) -> Call:
        """Each argument by its name. Raises Misfit."""
        return (), self.kind.read(request.body)


def inputs_of(run: Run, hints: Mapping[str, Any]) -> Inputs:
    """How that `run` takes a request: as the package says whose decorators it has, or else by its signature."""
    parameters = {name: each for name, each in inspect.signature(run).parameters.items() if _takes_input(each)}
    if raw := azure_ml.raw_input():
        return raw
    if schema := azure_ml.input_schema(run):
        return NamedInput(tuple(parameters), azure_ml.arguments(schema, parameters))
    named = [name for name, each in parameters.items() if name in hints or each.default is each.empty]
    if len(named) > 1:
        return NamedInput(tuple(parameters), _by_name(parameters, hints))
    form = form_for(run)
    hint = next((hints[name] for name in list(parameters)[:1] if name in hints), Any)
    return BodyInput(form, understood(hint) if form is BodyForm.JSON else ANYTHING)


def hints_of(run: Run) -> Mapping[str, Any]:
    """The type hints of a function; none when one of them names nothing."""
    function = inspect.unwrap(run)
    try:
        return get_type_hints(function, include_extras=True) if isinstance(function, FunctionType | MethodType) else {}
    except (NameError, TypeError, AttributeError) as error:
        log("WARNING", f"The type hints of run are not used: {error}.")
        return {}


def understood(hint: Any) -> Kind:
    """What a hint means; anything, where that cannot be said, and the log says why."""
    try:
        return pydantic_kind(hint) or kind_of(hint)
    except Exception as error:  # noqa: BLE001  the driver's classes, and its pydantic, may raise anything
        log("WARNING", f"The type hint {hint} is not used: {error}")
        return ANYTHING


def _takes_input(parameter: inspect.Parameter) -> bool:
    return parameter.name != HEADERS and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}


def _by_name(parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any]) -> Kind:
    """What all arguments are together; one whose hint cannot be used is anything, but has to be there."""
    hints = {name: hint for name, hint in hints.items() if name in parameters}
    errors = unreadable(hints)
    for name, error in errors.items():
        log("WARNING", f"The type hint of {name} is not used: {error}")
    kind = understood(_arguments(parameters, {name: hint for name, hint in hints.items() if name not in errors}))
    return kind_of(_arguments(parameters, {})) if kind is ANYTHING else kind


def _arguments(parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any]) -> Any:
    """A type of all arguments together, that takes no others."""
    fields = {
        name: hints.get(name, Any) if each.default is each.empty else NotRequired[hints.get(name, Any)]
        for name, each in parameters.items()
    }
    together: Any = TypedDict("ServiceInput", fields)  # type: ignore[misc]  # its fields are known here only
    together.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    return together
