"""In which form a driver's `run` takes the body: parsed JSON, text or bytes. All are seen in the wild (client-facts.md, 24).

The rule, in this order:

1. The annotation of its first parameter decides: `str` is text, `bytes` is bytes, any other is parsed JSON.
2. Where there is none, the source is read. A `run` that hands its parameter to something that reads text, as in
   `json.loads(body)`, or uses it as only a string can be used, as in `body.split()`, takes text. So does one that passes it
   on to another function of the driver's folder that does, and the wrapper of the old client, which always took text.
3. Every other `run` takes parsed JSON.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

type Function = Callable[..., Any]

_TEXT_READERS = frozenset({
    "JSONDecoder", "StringIO", "b64decode", "fromstring", "literal_eval", "loads", "model_validate_json", "parse_raw",
    "parse_service_input", "read_json", "safe_load", "validate_json",
})  # fmt: skip
_TEXT_METHODS = frozenset(dir(str)) - frozenset(dir(dict)) - frozenset(dir(list))


class BodyForm(StrEnum):
    """What `run` is given."""

    JSON = "parsed JSON"
    TEXT = "text"
    BYTES = "bytes"

    def of(self, body: bytes) -> Any:
        """The body in this form. Raises ValueError when it has not got it."""
        match self:
            case BodyForm.JSON:
                return json.loads(body)
            case BodyForm.TEXT:
                return body.decode()
            case BodyForm.BYTES:
                return body


_ANNOTATED = {str: BodyForm.TEXT, "str": BodyForm.TEXT, bytes: BodyForm.BYTES, "bytes": BodyForm.BYTES}


def form_for(run: Function) -> BodyForm:
    """What that `run` takes."""
    parameter = next(iter(inspect.signature(run).parameters.values()), None)
    if parameter is None or parameter.annotation is Any:
        return BodyForm.JSON
    if parameter.annotation is not inspect.Parameter.empty:
        return _ANNOTATED.get(parameter.annotation, BodyForm.JSON)
    return BodyForm.TEXT if _Reading(_file(run).parent).finds_text(run, parameter.name) else BodyForm.JSON


class _Reading:
    """Reads the source of functions in one folder: what libraries do with their parameters says nothing of the driver."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[tuple[Path, str, str]] = set()

    def finds_text(self, function: Function, parameter: str) -> bool:
        """Whether the function uses that parameter as text."""
        place = (_file(function), getattr(function, "__qualname__", ""), parameter)
        if place in self._seen or not place[0].is_relative_to(self._folder):
            return False
        self._seen.add(place)
        return any(self._is_text_use(node, function, parameter) for node in ast.walk(_tree(function)))

    def _is_text_use(self, node: ast.AST, function: Function, parameter: str) -> bool:
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=method):
                return name == parameter and method in _TEXT_METHODS
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) as call:
                place = _passed(call, parameter)
                return place is not None and (name in _TEXT_READERS or self._is_text_for(call, function, place))
            case _:
                return False

    def _is_text_for(self, call: ast.Call, caller: Function, place: int | str) -> bool:
        called = _resolved(call.func, caller)
        if not isinstance(called, FunctionType | MethodType):
            return False
        names = list(inspect.signature(called).parameters)
        name = place if isinstance(place, str) else names[place] if place < len(names) else ""
        return name in names and self.finds_text(called, name)


def _file(function: Function) -> Path:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return Path(code.co_filename if code else "")


def _tree(function: Function) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError):  # there is no source to read, or only a piece of a line
        return ast.Module([], [])


def _passed(call: ast.Call, parameter: str) -> int | str | None:
    """As which argument the call is given the parameter: by its position, or by its name."""
    arguments: list[tuple[int | str | None, ast.expr]] = [*enumerate(call.args)]
    arguments += [(keyword.arg, keyword.value) for keyword in call.keywords]
    return next((place for place, given in arguments if isinstance(given, ast.Name) and given.id == parameter), None)


def _resolved(name: ast.expr, function: Function) -> object:
    """What a name, plain or dotted, stands for in the module of the function."""
    match name:
        case ast.Name(id=plain):
            return getattr(inspect.unwrap(function), "__globals__", {}).get(plain)
        case ast.Attribute(value=owner, attr=attribute):
            return getattr(_resolved(owner, function), attribute, None)
        case _:
            return None
