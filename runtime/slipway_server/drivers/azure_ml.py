"""Drivers of Azure ML's later contract: raw HTTP and schemas by decorators.

Both are known by the packages that bring them: `azureml-contrib-services` (or `azureml-inference-server-http`), whose
`@rawhttp` sets a flag in its module, and `inference-schema`, which can be asked for what its decorators were given.
The driver's requirements name them; the server looks at what the driver imported.
"""

import inspect
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..http.messages import Request
from .kinds import Kind, Schema
from .misfit import Misfit

_RAW_HTTP = ("azureml.contrib.services.aml_request", "azureml_inference_server_http.api.aml_request")
_SCHEMAS = "inference_schema.schema_util"
_DECORATORS = "inference_schema.schema_decorators"
METHODS = ("DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT")
"""With which a driver that asked for raw HTTP may be called; it looks by itself with which it was."""


@dataclass(frozen=True)
class RawInput:
    """The whole request, as Flask has it: what `@rawhttp` asks for."""

    request_type: Any

    def __str__(self) -> str:
        return "the whole request"

    @property
    def schema(self) -> Schema:
        """Nothing is known of it."""
        return {}

    def of(self, request: Request) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A request of the type that the package promises."""
        raw = self.request_type.__new__(self.request_type)
        initialize: Any = super(self.request_type, raw).__init__  # its own takes no request
        initialize(environment(request))
        return (raw,), {}


def raw_input() -> RawInput | None:
    """What a driver gets that asked for raw HTTP while it was imported."""
    modules: list[Any] = [sys.modules[name] for name in _RAW_HTTP if name in sys.modules]
    return next((RawInput(module.AMLRequest) for module in modules if module._rawHttpRequested), None)  # noqa: SLF001


def environment(request: Request) -> dict[str, Any]:
    """The request as WSGI has it (PEP 3333)."""
    fields = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()}
    return {
        **fields,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "5001",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def input_schema(run: Any) -> Schema | None:
    """What `@input_schema` says that `run` takes; None for a `run` without it."""
    schemas = sys.modules.get(_SCHEMAS)
    if schemas is None or not schemas.is_schema_decorated(run):
        return None
    schema: Schema = schemas.get_input_schema(run)
    return schema


def output_schema(run: Any) -> Schema | None:
    """What `@output_schema` says that `run` returns; None for a `run` without it."""
    schemas = sys.modules.get(_SCHEMAS)
    if schemas is None or not schemas.is_schema_decorated(run):
        return None
    schema: Schema = schemas.get_output_schema(run)
    return schema


def arguments(schema: Schema, parameters: Mapping[str, inspect.Parameter]) -> Kind:
    """The arguments of a `run` with `@input_schema`. It converts them itself; inputs that it does not know are left out."""

    def convert(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise Misfit.of("an object", value)
        for name, parameter in parameters.items():
            if name not in value and parameter.default is parameter.empty:
                raise Misfit("it is required, and not there", name)
        return {name: value[name] for name in parameters if name in value}

    described: Schema = {key: _of(schema[key], parameters) for key in ("properties", "example") if key in schema}
    return Kind({**schema, **described}, convert)


def _of(values: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in parameters}


def misfit(error: BaseException) -> Misfit | None:
    """What an exception says of an argument that a decorator could not convert; None for one of the driver itself."""
    step, last = error.__traceback__, None
    while step is not None:
        if step.tb_frame.f_globals.get("__name__") == _DECORATORS:
            last = step.tb_frame.f_locals
        step = step.tb_next
    if last is None or "input_data" not in last:  # it was already past the decorators
        return None
    return Misfit(str(error), str(last["param_name"]))
